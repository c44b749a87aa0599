//! The follower against an engine that is played on a socket.

use super::*;

#[test]
fn actions() {
    for (action, expected) in [
        ("create", Action::Create),
        ("start", Action::Start),
        ("health_status: healthy", Action::Describe),
        ("rename", Action::Describe),
        ("died", Action::End),
        ("destroy", Action::Remove),
        ("exec_create: sh", Action::Nothing),
        ("", Action::Nothing),
    ] {
        assert_eq!(Action::of(action), expected, "{action}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let error = |address: &str| connect(address).unwrap_err().to_string();
    assert_eq!(
        error("unix:///none/docker.sock"),
        "there is no socket /none/docker.sock: mount it (docker run -v /none/docker.sock:/none/docker.sock:ro), or say where it is with -docker"
    );
    assert!(error("docker").contains("is no address of an engine"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(error(&format!("unix://{}", path.display())).ends_with("the engine does not run"));
}

mod played {
    //! An engine that has what a test says, on a unix socket.

    use std::collections::BTreeMap;

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::extract::State;
    use axum::http::{StatusCode, Uri};
    use axum::response::{IntoResponse, Response};
    use axum::routing::get;
    use parking_lot::Mutex;
    use tokio::sync::mpsc;

    use super::*;

    type Events = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

    #[derive(Default)]
    pub struct Engine {
        /// Name by id.
        pub containers: Mutex<BTreeMap<String, String>>,
        pub streams: Mutex<Vec<Events>>,
    }

    impl Engine {
        pub fn tell(&self, action: &str, id: &str) {
            let line = format!(
                "{{\"Type\":\"container\",\"Action\":\"{action}\",\"Actor\":{{\"ID\":\"{id}\",\"Attributes\":{{\"image\":\"img\",\"name\":\"told\",\"exitCode\":\"0\",\"tier\":\"db\"}}}},\"timeNano\":1700000000123456789}}\n"
            );
            for stream in self.streams.lock().iter() {
                let _ = stream.send(Ok(Bytes::from(line.clone())));
            }
        }

        pub fn serve(self: &Arc<Engine>, socket: &std::path::Path) -> tokio::task::JoinHandle<()> {
            let listener = tokio::net::UnixListener::bind(socket).unwrap();
            let router = Router::new()
                .fallback(get(answer))
                .with_state(Arc::clone(self));
            tokio::spawn(async move {
                axum::serve(listener, router).await.unwrap();
            })
        }
    }

    async fn answer(State(engine): State<Arc<Engine>>, uri: Uri) -> Response {
        respond(&engine, uri.path().trim_start_matches('/'))
    }

    fn respond(engine: &Engine, path: &str) -> Response {
        let path = match path.split_once('/') {
            Some((version, rest)) if version.starts_with('v') => rest,
            _ => path,
        };
        let containers = engine.containers.lock();
        match path {
            "version" => r#"{"Version":"20.10.7","ApiVersion":"1.41","MinAPIVersion":"1.12"}"#
                .into_response(),
            "containers/json" => {
                let list: Vec<String> = containers
                    .keys()
                    .map(|id| format!("{{\"Id\":\"{id}\"}}"))
                    .collect();
                format!("[{}]", list.join(",")).into_response()
            }
            "events" => {
                let (sender, mut receiver) = mpsc::unbounded_channel();
                engine.streams.lock().push(sender);
                let stream = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
                Response::new(Body::from_stream(stream))
            }
            path => {
                let id = path
                    .trim_start_matches("containers/")
                    .trim_end_matches("/json");
                match containers.get(id) {
                    Some(name) => format!(
                        "{{\"Id\":\"{id}\",\"Name\":\"/{name}\",\"State\":{{\"Pid\":0}},\"Config\":{{\"Image\":\"i\"}}}}"
                    )
                    .into_response(),
                    None => (StatusCode::NOT_FOUND, "{\"message\":\"none\"}").into_response(),
                }
            }
        }
    }

    pub fn follower(socket: &std::path::Path, root: &std::path::Path) -> Follower {
        use crate::cgroup::Cgroups;
        use crate::groups::Groups;
        use crate::labels::LabelPolicy;
        use crate::machine::Host;

        std::fs::write(root.join("cgroup.controllers"), "cpu\n").unwrap();
        let identities = Arc::new(Identities::default());
        let config = crate::agent::Config {
            groups: Groups::all(),
            labels: LabelPolicy::All,
            docker_only: false,
            raw_prefixes: Vec::new(),
            root_stats: true,
            storage_duration: Duration::from_secs(60),
            machine_id_files: String::new(),
            boot_id_files: String::new(),
        };
        let cgroups = Cgroups::find(root).unwrap();
        let agent = Agent::new(
            config,
            Some(cgroups),
            Host::below(root),
            Arc::clone(&identities),
            None,
        );
        Follower {
            address: format!("unix://{}", socket.display()),
            envs: Vec::new(),
            optional: false,
            identities,
            agent: Arc::new(agent),
            usages: None,
            engines: None,
            up: Gauge::new(),
            connects: Counter::new(),
            events: Counter::new(),
        }
    }
}

/// Waits until something holds, at most ten seconds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn an_engine_is_followed_and_found_again() {
    let (sockets, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let socket = sockets.path().join("engine.sock");
    let engine = Arc::new(played::Engine::default());
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    engine
        .containers
        .lock()
        .insert(a.clone(), "first".to_owned());

    let follower = played::follower(&socket, root.path());
    let identities = Arc::clone(&follower.identities);
    let agent = Arc::clone(&follower.agent);
    let (up, connects) = (follower.up.clone(), follower.connects.clone());
    let stop = Shutdown::new();
    let following = tokio::spawn(follower.run(stop.clone()));

    // It may come later than we do.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let serving = engine.serve(&socket);
    until("the list is read", || identities.get(&a).is_some()).await;
    until("the stream is open", || !engine.streams.lock().is_empty()).await;
    assert_eq!(identities.engine_version(), "20.10.7");

    engine
        .containers
        .lock()
        .insert(b.clone(), "second".to_owned());
    engine.tell("start", &b);
    until("a start is noticed", || identities.get(&b).is_some()).await;
    engine
        .containers
        .lock()
        .insert(a.clone(), "renamed".to_owned());
    engine.tell("rename", &a);
    until("a new name is noticed", || {
        identities.get(&a).unwrap().name == "renamed"
    })
    .await;
    engine.containers.lock().remove(&b);
    engine.tell("die", &b);
    engine.tell("destroy", &b);
    until("a removal is noticed", || identities.get(&b).is_none()).await;
    // It never had a cgroup, and is counted.
    let mut writer = exposition::Writer::new(exposition::Format::default());
    agent.write(now_ms(), &[], &mut writer);
    let page = String::from_utf8(writer.finish().unwrap()).unwrap();
    assert!(page.contains("name=\"second\""), "{page}");

    // One that is gone before it can be asked about is what its events said.
    let c = "c".repeat(64);
    for action in ["create", "start", "die", "destroy"] {
        engine.tell(action, &c);
    }
    until("it is counted", || {
        let mut writer = exposition::Writer::new(exposition::Format::default());
        agent.write(now_ms(), &[], &mut writer);
        let page = String::from_utf8(writer.finish().unwrap()).unwrap();
        let line = format!(
            "container_start_time_seconds{{container_label_tier=\"db\",id=\"/docker/{c}\",image=\"img\",name=\"told\"}} 1700000000"
        );
        page.lines().any(|l| l.replace("1.7e+09", "1700000000") == line)
    })
    .await;

    // The engine goes away: names stay. It comes back with others: those count.
    serving.abort();
    let _ = serving.await;
    std::fs::remove_file(&socket).unwrap();
    engine.streams.lock().clear();
    until("its absence is noticed", || up.get() == 0.0).await;
    assert_eq!(identities.get(&a).unwrap().name, "renamed");
    engine.containers.lock().clear();
    engine
        .containers
        .lock()
        .insert(b.clone(), "third".to_owned());
    let _serving = engine.serve(&socket);
    until("the new list is read", || identities.get(&b).is_some()).await;
    until("what is gone is forgotten", || identities.get(&a).is_none()).await;
    until("it is followed again", || up.get() == 1.0).await;
    assert_eq!(connects.get(), 2.0);
    stop.request("the test ends");
    following.await.unwrap();
}
