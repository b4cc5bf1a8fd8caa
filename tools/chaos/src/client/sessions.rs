//! The sessions of a client: logging in and out, and whether the token before is refused from then on.

use hyper::{StatusCode, header::HeaderValue};
use serde_json::{Value, json};
use testkit::client::account::NOT_CURRENT;
use tokio::time::sleep;

use super::{Client, PAUSE, SharedState};
use crate::history::{Outcome, Record};

const LOG_IN: &str = "/api/loginChat";
const LOG_OUT: &str = "/api/chat/logout";
/// Changes something, so it is authorized at its append, too.
const TRIED: &str = "/api/chat/userset";

impl Client {
    /// Logs in once more, or out and in again. Goes on until it is answered: until then nobody knows which token is good.
    pub(super) async fn change_session(&mut self, shared: &SharedState) -> Outcome {
        if self.rng.chance(500) {
            // A socket whose token is logged out is silent without a word (DEV-30).
            self.close_all_but(0).await;
            let before = self.account.header();
            let begin = shared.history.now();
            let outcome = self.log_out(shared).await;
            self.record_session(shared, false, begin, outcome);
            self.try_ended_token(shared, &before).await;
        }
        let before = self.account.header();
        let begin = shared.history.now();
        let outcome = self.log_in(shared).await;
        self.record_session(shared, true, begin, outcome);
        if outcome == Outcome::Done {
            self.try_ended_token(shared, &before).await;
        }
        outcome
    }

    async fn log_out(&mut self, shared: &SharedState) -> Outcome {
        let mut asked = false;
        loop {
            let answer = self.call(LOG_OUT, "{}".to_owned()).await;
            // Who got no answer before may be logged out already.
            let outcome =
                self.outcome_of(shared, LOG_OUT, answer, Some(NOT_CURRENT).filter(|_| asked));
            if outcome != Outcome::Unknown {
                return outcome;
            }
            asked = true;
            sleep(PAUSE).await;
        }
    }

    async fn log_in(&mut self, shared: &SharedState) -> Outcome {
        let (name, password) = (&self.account.name, &self.account.password);
        let body = json!({"username": name, "password": password}).to_string();
        loop {
            let gateway = self.rng.below(self.http.len());
            let answer = self.http[gateway].post(LOG_IN, None, body.clone()).await;
            let data = answer.as_ref().ok().and_then(|answer| answer.data().ok());
            if let Some(Value::String(token)) = data.map(|mut data| data["token"].take()) {
                self.account.token = token;
                return Outcome::Done;
            }
            let outcome = self.outcome_of(shared, LOG_IN, answer, None);
            if outcome != Outcome::Unknown {
                return outcome;
            }
            sleep(PAUSE).await;
        }
    }

    fn record_session(&self, shared: &SharedState, logs_in: bool, begin: u64, outcome: Outcome) {
        let (user, end) = (self.number, shared.history.now());
        shared.history.record(&Record::Session { user, logs_in, begin, end, outcome });
    }

    /// No gateway accepts a token once its client has been told that it has ended.
    async fn try_ended_token(&mut self, shared: &SharedState, token: &HeaderValue) {
        let gateway = self.rng.below(self.http.len());
        let at = shared.history.now();
        let body = json!({"userset": "{}"}).to_string();
        let answer = self.http[gateway].post(TRIED, Some(token), body).await;
        let Ok(answer) = answer else { return };
        let accepted = answer.status == StatusCode::OK;
        shared.history.record(&Record::Stale { user: self.number, at, accepted });
    }
}
