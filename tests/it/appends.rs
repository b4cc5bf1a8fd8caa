//! Appends: what was given up never happens, and what happened counts once (DESIGN §3, ADR 0019).

use hongyan::cli::rig::line::{Line, Mode};
use tokio_util::task::TaskTracker;

use crate::support::{App, User, until};

const DRAIN: &str = "/api/chat/chatGetmessageOffLine";

/// A gateway more, whose line to the log can be cut.
async fn behind_a_line(app: &mut App) -> Line {
    let line = Line::to(app.servers.nats.port(), &TaskTracker::new()).await.expect("a port");
    app.another_gateway("behind-a-line", line.port()).await;
    line
}

/// The same user, at the gateway behind the line.
fn there(app: &App, user: &User) -> User {
    user.via(app.gateways.last().expect("a gateway").origin())
}

async fn is_back(app: &App, user: &User) {
    let user = there(app, user);
    let called = async || (user.post_empty(DRAIN).await.status == 200).then_some(());
    until("the gateway answers again", called).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_that_was_given_up_ends_no_other() {
    let mut app = App::with_gateways(1).await;
    let line = behind_a_line(&mut app).await;
    for _ in 0..3 {
        let ann = app.register("ann").await;
        let sprung = line.set_at(&format!("HPUB evt.session.{} ", ann.id), Mode::Cut);
        let refused = there(&app, &ann).try_login().await;
        sprung.await.expect("the log-in is on the line");
        assert!(refused.status >= 500, "{refused:?}");
        line.set(Mode::Open);
        is_back(&app, &ann).await;
        ann.post_empty(DRAIN).await.ok();
        there(&app, &ann).post_empty(DRAIN).await.ok();
    }
}
