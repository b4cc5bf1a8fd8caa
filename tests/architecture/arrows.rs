//! The arrows between folders: `main → cli → boot → api, ws → state → delivery_audit → executor → projections →
//! protocol, adapters → commands → events`, and who alone may do what.

use crate::names::{Named, named};
use crate::tree::{Complaint, none_of, texts};

/// From the top down. A layer may name itself, what stands beside it, and what is below.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["boot"],
    &["api", "ws"],
    &["state"],
    &["delivery_audit"],
    &["executor"],
    &["projections"],
    &["adapters", "protocol"],
    &["commands"],
    &["events"],
];

/// What sources may not name.
struct Rule {
    /// Why not.
    because: &'static str,
    /// Beginnings of the paths of the sources.
    of: &'static [&'static str],
    /// Paths, each with all that is in it.
    never: &'static str,
    /// File, what it may name nevertheless, and why.
    except: &'static [(&'static str, &'static str, &'static str)],
}

const RULES: &[Rule] = &[
    Rule {
        because: "facts are plain data",
        of: &["src/events/"],
        never: "async axum futures_util sqlx std::env std::fs std::io std::net std::process \
                std::thread std::time tokio tracing crate::clock crate::config crate::telemetry",
        except: &[],
    },
    Rule {
        because: "rules are pure: what they need is handed in",
        of: &["src/commands/"],
        never: "async axum futures_util sqlx std::env std::fs std::io std::net std::process \
                std::thread std::time tokio tracing crate::adapters crate::clock crate::config \
                crate::projections crate::telemetry",
        except: &[],
    },
    Rule {
        because: "what clients see is made of facts and states alone",
        of: &["src/protocol/"],
        never: "async axum futures_util sqlx std::env std::fs std::io std::net std::process \
                std::thread std::time tokio tracing crate::adapters crate::clock crate::config \
                crate::projections crate::telemetry",
        except: &[],
    },
    Rule {
        because: "rules do not know in which words clients are told",
        of: &["src/commands/"],
        never: "crate::protocol",
        except: &[],
    },
    Rule {
        because: "adapters alone speak to NATS and Redis",
        of: &["src/"],
        never: "async_nats redis",
        except: &[("src/adapters/", "", "they are the adapters")],
    },
    Rule {
        because: "a table belongs to one read model, which has its queries",
        of: &["src/"],
        never: "sqlx::query sqlx::query_as sqlx::query_scalar sqlx::raw_sql",
        except: &[
            ("src/projections/", "", "they are the read models"),
            ("src/adapters/id_allocation.rs", "sqlx::query", "has the sequences"),
            (
                "src/api/readiness.rs",
                "sqlx::query_scalar",
                "asks whether PostgreSQL answers at all",
            ),
        ],
    },
    Rule {
        because: "time and chance are in clock.rs alone",
        of: &["src/"],
        never: "getrandom rand std::time::SystemTime time::OffsetDateTime::now_local \
                time::OffsetDateTime::now_utc time::UtcDateTime::now uuid::Uuid::new_v4 \
                uuid::Uuid::now_v7",
        except: &[("src/clock.rs", "", "it is the clock")],
    },
    Rule {
        because: "a read model sees only events, so that it can be built again",
        of: &["src/projections/"],
        never: "crate::clock",
        except: &[
            (
                "src/projections/offline_queue/mod.rs",
                "crate::clock",
                "stamps a push, which is not kept",
            ),
            ("src/projections/engine/runner.rs", "crate::clock::random_id", "tells runners apart"),
            (
                "src/projections/engine/verify_schedule.rs",
                "crate::clock::now",
                "comparisons are due at a time of day",
            ),
        ],
    },
    Rule {
        because: "HTTP and WebSocket are the business of api and ws",
        of: &["src/adapters/", "src/commands/", "src/events/", "src/executor/", "src/projections/"],
        never: "axum hyper hyper_util tower",
        except: &[],
    },
    Rule {
        because: "HTTP and WebSocket do not know of each other",
        of: &["src/api/"],
        never: "crate::ws",
        except: &[("src/api/mod.rs", "crate::ws", "the one router has the socket's route")],
    },
    Rule {
        because: "HTTP and WebSocket do not know of each other",
        of: &["src/ws/"],
        never: "crate::api",
        except: &[],
    },
    Rule {
        because: "settings are handed down, not looked up",
        of: &["src/adapters/", "src/commands/", "src/executor/", "src/projections/", "src/ws/"],
        never: "crate::config",
        except: &[("src/adapters/media/", "crate::config", "is handed its section as a whole")],
    },
    Rule {
        because: "the product has no tools in it",
        of: &["src/"],
        never: "chaos loadgen testkit",
        except: &[],
    },
    Rule {
        because: "tools know the service as its clients and operators do",
        of: &["tools/"],
        never: "hongyan",
        except: &[],
    },
    Rule {
        because: "tools stand on the testkit, not it on them",
        of: &["tools/testkit/"],
        never: "chaos loadgen",
        except: &[],
    },
    Rule {
        because: "what everybody uses knows nobody",
        of: &["src/clock.rs", "src/config/", "src/telemetry/"],
        never: "crate::adapters crate::api crate::boot crate::cli crate::commands crate::executor \
                crate::projections crate::ws",
        except: &[],
    },
];

/// What one source does against layers and rules.
fn complaints(file: &str, source: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for named in named(file, source) {
        let mut complain = |why: String| {
            let what = format!("names `{}`: {why}", named.path.join("::"));
            complaints.push(Complaint { file: file.to_owned(), line: named.line, what });
        };
        if let Some((own, other)) = goes_up(file, &named) {
            complain(format!("`{other}` is above `{own}`"));
        }
        for rule in RULES.iter().filter(|rule| rule.is_broken(file, &named)) {
            complain(rule.because.to_owned());
        }
    }
    complaints
}

/// The layer of `file` and the one above it that it names.
fn goes_up<'a>(file: &'a str, named: &'a Named) -> Option<(&'a str, &'a str)> {
    let own = file.strip_prefix("src/")?.split(['/', '.']).next()?;
    let other = named.path.get(1).filter(|_| named.path[0] == "crate")?.as_str();
    let height = |name| LAYERS.iter().position(|layer| layer.contains(&name));
    (height(other)? < height(own)?).then_some((own, other))
}

impl Rule {
    fn is_broken(&self, file: &str, named: &Named) -> bool {
        self.forbids(file, named)
            && !self.except.iter().any(|(except, path, _)| covers((*except, *path), file, named))
    }

    fn forbids(&self, file: &str, named: &Named) -> bool {
        self.of.iter().any(|of| file.starts_with(of))
            && self.never.split(' ').any(|path| named.is_in(path))
    }
}

fn covers((except, path): (&str, &str), file: &str, named: &Named) -> bool {
    file.starts_with(except) && (path.is_empty() || named.is_in(path))
}

#[test]
fn arrows_point_down() {
    let sources = [texts("src", &[".rs"]), texts("tools", &[".rs"])].concat();
    let complaints: Vec<_> =
        sources.iter().flat_map(|(file, source)| complaints(file, source)).collect();
    none_of(&complaints);
}

#[test]
fn every_rule_is_about_files_that_are_there() {
    let sources = [texts("src", &[".rs"]), texts("tools", &[".rs"])].concat();
    for (of, because) in RULES.iter().flat_map(|rule| rule.of.iter().map(|of| (of, rule.because))) {
        assert!(sources.iter().any(|(file, _)| file.starts_with(of)), "no file is {of}: {because}");
    }
}

#[test]
fn no_exception_is_left_over() {
    let sources = texts("src", &[".rs"]);
    let all: Vec<(&str, Named)> = sources
        .iter()
        .flat_map(|(file, source)| named(file, source).into_iter().map(move |n| (&**file, n)))
        .collect();
    for rule in RULES {
        for (file, path, reason) in rule.except {
            let used = all.iter().any(|(name, named)| {
                covers((*file, *path), name, named) && rule.forbids(name, named)
            });
            assert!(used, "nobody needs this any more: {file} names {path:?}: {reason}");
        }
    }
}

/// `now()` of a database is a clock too; so is Redis's.
#[test]
fn read_models_ask_no_server_for_time_or_chance() {
    let complaints: Vec<_> = texts("src/projections", &[".rs", ".sql"])
        .iter()
        .flat_map(|(file, text)| foreign_clocks(file, text))
        .collect();
    none_of(&complaints);
}

fn foreign_clocks(file: &str, text: &str) -> Vec<Complaint> {
    const CLOCKS: &[&str] =
        &["now()", "_timestamp()", "current_", "random()", "random_uuid()", "'TIME'"];
    let code = |line: &str| !["//", "--"].iter().any(|mark| line.trim_start().starts_with(mark));
    let broken = |line: &str| {
        let line = line.replace("::now()", "");
        CLOCKS.iter().find(|clock| line.contains(**clock)).copied()
    };
    crate::tree::lines(text)
        .filter(|(_, line)| code(line))
        .filter_map(|(line, text)| {
            let what = format!("asks a server for {}", broken(text)?);
            Some(Complaint { file: file.to_owned(), line, what })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(file: &str, source: &str, expected: &str) {
        let found: Vec<String> = complaints(file, source).iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|found| found.starts_with(expected)), "{found:?}");
    }

    #[test]
    fn each_broken_arrow_is_named_with_its_place() {
        let source = "//! Bad.\n\nuse sqlx::PgPool;\n";
        refused("src/events/user.rs", source, "src/events/user.rs:3: names `sqlx::PgPool`: facts");
        let source = "async fn f() {}";
        refused("src/commands/group.rs", source, "src/commands/group.rs:1: names `async`: rules");
        let source = "use crate::{\n    events::Event,\n    api::params::Params,\n};";
        refused(
            "src/ws/registry.rs",
            source,
            "src/ws/registry.rs:3: names `crate::api::params::Params`: HTTP",
        );
        refused(
            "src/adapters/nats/vault.rs",
            source,
            "src/adapters/nats/vault.rs:3: names `crate::api",
        );
        let source = "use crate::adapters as a;\nfn f() { a::redis::x(); redis::cmd(\"\") }";
        refused("src/api/users.rs", source, "src/api/users.rs:2: names `redis::cmd`: adapters");
        let source = "use time::OffsetDateTime as T;\nfn f() -> T { T::now_utc() }";
        refused(
            "src/cli/ops.rs",
            source,
            "src/cli/ops.rs:2: names `time::OffsetDateTime::now_utc`",
        );
        let source = "use super::super::boot::ProcessRole;";
        refused(
            "src/api/users.rs",
            source,
            "src/api/users.rs:1: names `crate::boot::ProcessRole`: `boot`",
        );
        let source = "use testkit::clock;";
        refused(
            "src/boot/mod.rs",
            source,
            "src/boot/mod.rs:1: names `testkit::clock`: the product",
        );
        let source = "fn f() { hongyan::clock::now() }";
        refused("tools/chaos/src/main.rs", source, "tools/chaos/src/main.rs:1: names `hongyan::");
        let source = "fn f() { crate::clock::now() }";
        let expected = "src/projections/chat_log.rs:1: names `crate::clock::now`: a read model";
        refused("src/projections/chat_log.rs", source, expected);
    }

    #[test]
    fn what_is_allowed_is_not_refused() {
        for (file, source) in [
            ("src/api/mod.rs", "use crate::{state::App, ws::connection};"),
            (
                "src/events/ids.rs",
                "use super::values::Role;\n// async sqlx\nconst A: &str = \"tokio\";",
            ),
            (
                "src/cli/users.rs",
                "use crate::adapters::{postgres, redis::Redis};\nfn f() { Redis::open() }",
            ),
            ("src/executor/mod.rs", "async fn f() { tokio::time::sleep(x).await }"),
        ] {
            assert_eq!(complaints(file, source), [], "{file}");
        }
    }

    #[test]
    fn a_servers_clock_is_noticed() {
        let found = foreign_clocks(
            "a.sql",
            "-- now()\ncreate table a (\n    at timestamptz default now()\n);",
        );
        assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), [3]);
        assert_eq!(foreign_clocks("a.rs", "frame(clock::now());"), []);
    }
}
