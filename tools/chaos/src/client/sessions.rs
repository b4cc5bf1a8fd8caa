//! Logging in and out, and whether the token before is refused from then on.

use hyper::{StatusCode, header::HeaderValue};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{PAUSE, Person, World};
use crate::history::{Fate, Record};
use testkit::client::account::NOT_CURRENT;

const LOG_IN: &str = "/api/loginChat";
const LOG_OUT: &str = "/api/chat/logout";
/// Changes something, so it is judged at its append, too.
const TRIED: &str = "/api/chat/userset";

impl Person {
    /// Logs in once more, or out and in again. Goes on until it is answered: until then nobody knows which token is good.
    pub(super) async fn change_session(&mut self, world: &World) -> Fate {
        if self.dice.chance(500) {
            // A socket whose token is logged out is silent without a word (DEV-30).
            self.close_all_but(0).await;
            let before = self.account.header();
            let begin = world.history.now();
            let fate = self.log_out(world).await;
            self.note_session(world, false, begin, fate);
            self.try_ended(world, &before).await;
        }
        let before = self.account.header();
        let begin = world.history.now();
        let fate = self.log_in(world).await;
        self.note_session(world, true, begin, fate);
        if fate == Fate::Done {
            self.try_ended(world, &before).await;
        }
        fate
    }

    async fn log_out(&mut self, world: &World) -> Fate {
        let mut asked = false;
        loop {
            let answer = self.call(LOG_OUT, "{}".to_owned()).await;
            // Who got no answer before may be logged out already.
            let fate = self.judge(world, LOG_OUT, answer, Some(NOT_CURRENT).filter(|_| asked));
            if fate != Fate::Unknown {
                return fate;
            }
            asked = true;
            sleep(PAUSE).await;
        }
    }

    async fn log_in(&mut self, world: &World) -> Fate {
        let (name, password) = (&self.account.name, &self.account.password);
        let body = json!({"username": name, "password": password}).to_string();
        loop {
            let gateway = self.dice.roll(self.http.len());
            let answer = self.http[gateway].post(LOG_IN, None, body.clone()).await;
            let data = answer.as_ref().ok().and_then(|answer| answer.data().ok());
            if let Some(Value::String(token)) = data.map(|mut data| data["token"].take()) {
                self.account.token = token;
                return Fate::Done;
            }
            let fate = self.judge(world, LOG_IN, answer, None);
            if fate != Fate::Unknown {
                return fate;
            }
            sleep(PAUSE).await;
        }
    }

    fn note_session(&self, world: &World, logs_in: bool, begin: u64, fate: Fate) {
        let (user, end) = (self.number, world.history.now());
        world.history.note(&Record::Session { user, logs_in, begin, end, fate });
    }

    /// No gateway accepts a token once its client has been told that it has ended.
    async fn try_ended(&mut self, world: &World, token: &HeaderValue) {
        let gateway = self.dice.roll(self.http.len());
        let at = world.history.now();
        let body = json!({"userset": "{}"}).to_string();
        let answer = self.http[gateway].post(TRIED, Some(token), body).await;
        let Ok(answer) = answer else { return };
        let accepted = answer.status == StatusCode::OK;
        world.history.note(&Record::Stale { user: self.number, at, accepted });
    }
}
