//! A line to a server that can be cut while both ends live.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Carries connections to a port of 127.0.0.1, from another one.
#[derive(Debug)]
pub struct Line {
    port: u16,
    whole: watch::Sender<bool>,
}

impl Line {
    /// A line that is whole.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (whole, is_whole) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, target, is_whole.clone()));
            }
        });
        Self { port, whole }
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections, and takes no new ones.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Takes new ones again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(mut near: TcpStream, target: u16, mut is_whole: watch::Receiver<bool>) {
    if !*is_whole.borrow() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = is_whole.wait_for(|is_whole| !is_whole) => {}
    }
}
