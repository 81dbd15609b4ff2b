//! bollard: a typed client, whose decoder rejects what does not fit the API's
//! own description.

use std::collections::HashMap;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters as query;
use docker_compat_tests::Scope;
use futures::StreamExt;
use tokio::io::AsyncWriteExt;

async fn connect(t: &Scope) -> Docker {
    let socket = t.daemon.socket.to_str().unwrap();
    Docker::connect_with_socket(socket, 60, bollard::API_DEFAULT_VERSION).unwrap().negotiate_version().await.unwrap()
}

fn body(t: &Scope, script: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some("busybox".into()),
        cmd: Some(vec!["sh".into(), "-c".into(), script.into()]),
        labels: Some(HashMap::from([("lighter.compat".to_owned(), t.mark.clone())])),
        host_config: Some(HostConfig { network_mode: Some("none".into()), ..Default::default() }),
        ..Default::default()
    }
}

async fn create(docker: &Docker, t: &Scope, body: ContainerCreateBody) -> String {
    let options = query::CreateContainerOptionsBuilder::default().name(&t.name("bollard")).build();
    docker.create_container(Some(options), body).await.unwrap().id
}

#[tokio::test]
async fn system_calls() {
    let t = Scope::new();
    let docker = connect(&t).await;
    assert_eq!(docker.ping().await.unwrap(), "OK");
    assert!(docker.version().await.unwrap().api_version.is_some());
    let info = docker.info().await.unwrap();
    assert!(info.ncpu.unwrap() >= 1);
    docker.df(None::<query::DataUsageOptions>).await.unwrap();
}

#[tokio::test]
async fn a_whole_life() {
    let t = Scope::new();
    let docker = connect(&t).await;
    let id = create(&docker, &t, body(&t, "echo out; echo err >&2; exit 9")).await;
    docker.start_container(&id, None).await.unwrap();
    let mut wait = docker.wait_container(&id, None::<query::WaitContainerOptions>);
    match wait.next().await.unwrap() {
        Err(bollard::errors::Error::DockerContainerWaitError { code, .. }) => assert_eq!(code, 9),
        other => panic!("{other:?}"),
    }
    let shown = docker.inspect_container(&id, None).await.unwrap();
    assert_eq!(shown.state.unwrap().exit_code, Some(9));
    let options = query::LogsOptionsBuilder::default().stdout(true).stderr(true).build();
    let logs: Vec<LogOutput> = docker.logs(&id, Some(options)).map(Result::unwrap).collect().await;
    assert!(logs.iter().any(|l| matches!(l, LogOutput::StdOut { message } if message.as_ref() == b"out\n")));
    assert!(logs.iter().any(|l| matches!(l, LogOutput::StdErr { message } if message.as_ref() == b"err\n")));
    let filters = HashMap::from([("label".to_owned(), vec![format!("lighter.compat={}", t.mark)])]);
    let options = query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let list = docker.list_containers(Some(options)).await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].id.as_deref(), Some(id.as_str()));
    docker.remove_container(&id, None).await.unwrap();
    match docker.inspect_container(&id, None).await {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, message }) => {
            assert_eq!(message, format!("No such container: {id}"))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn attach_with_input() {
    let t = Scope::new();
    let docker = connect(&t).await;
    let id = create(
        &docker,
        &t,
        ContainerCreateBody { open_stdin: Some(true), stdin_once: Some(true), attach_stdin: Some(true), ..body(&t, "cat") },
    )
    .await;
    let options = query::AttachContainerOptionsBuilder::default().stdin(true).stdout(true).stderr(true).stream(true).build();
    let mut attached = docker.attach_container(&id, Some(options)).await.unwrap();
    docker.start_container(&id, None).await.unwrap();
    attached.input.write_all(b"typed\n").await.unwrap();
    attached.input.shutdown().await.unwrap();
    let mut text = String::new();
    while let Some(Ok(part)) = attached.output.next().await {
        text.push_str(&part.to_string());
    }
    assert_eq!(text, "typed\n");
}

#[tokio::test]
async fn exec_attached() {
    let t = Scope::new();
    let docker = connect(&t).await;
    let id = t.sleeper(&[]);
    let options = CreateExecOptions {
        cmd: Some(vec!["sh", "-c", "echo $K; exit 3"]),
        env: Some(vec!["K=v"]),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    let exec = docker.create_exec(&id, options).await.unwrap().id;
    let StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec, None).await.unwrap() else { panic!("attached") };
    let mut text = String::new();
    while let Some(part) = output.next().await {
        text.push_str(&part.unwrap().to_string());
    }
    assert_eq!(text, "v\n");
    let shown = docker.inspect_exec(&exec).await.unwrap();
    assert_eq!((shown.running, shown.exit_code), (Some(false), Some(3)));
}

#[tokio::test]
async fn events_are_typed() {
    let t = Scope::new();
    let docker = connect(&t).await;
    let filters = HashMap::from([("label".to_owned(), vec![format!("lighter.compat={}", t.mark)])]);
    let options = query::EventsOptionsBuilder::default().filters(&filters).since("1").build();
    let mut events = Box::pin(docker.events(Some(options)));
    let id = create(&docker, &t, body(&t, "true")).await;
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(event.action.as_deref(), Some("create"));
    assert_eq!(event.actor.unwrap().id, Some(id));
}

#[tokio::test]
async fn images_are_typed() {
    let t = Scope::new();
    let docker = connect(&t).await;
    let images = docker.list_images(Some(query::ListImagesOptionsBuilder::default().all(true).build())).await.unwrap();
    assert!(images.iter().any(|i| i.repo_tags.contains(&"busybox:latest".to_owned())));
    let image = docker.inspect_image("busybox").await.unwrap();
    assert_eq!(image.config.unwrap().cmd, Some(vec!["sh".to_owned()]));
    let history = docker.image_history("busybox").await.unwrap();
    assert_eq!(history.len(), 2);
    let repo = format!("compat-{}", t.mark);
    docker.tag_image("busybox", Some(query::TagImageOptionsBuilder::default().repo(&repo).tag("b").build())).await.unwrap();
    let bytes: usize =
        docker.export_image(&format!("{repo}:b")).map(|b| b.unwrap().len()).fold(0, |a, n| async move { a + n }).await;
    assert!(bytes > 1_000_000, "{bytes}");
    let removed = docker.remove_image(&format!("{repo}:b"), None::<query::RemoveImageOptions>, None).await.unwrap();
    assert_eq!(removed[0].untagged, Some(format!("{repo}:b")));
}

#[tokio::test]
async fn stop_kill_rename_resize_restart() {
    let t = Scope::new();
    let docker = connect(&t).await;
    let id = create(
        &docker,
        &t,
        ContainerCreateBody {
            tty: Some(true),
            open_stdin: Some(true),
            ..body(&t, "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done")
        },
    )
    .await;
    docker.start_container(&id, None).await.unwrap();
    docker.resize_container_tty(&id, query::ResizeContainerTTYOptionsBuilder::default().h(10).w(20).build()).await.unwrap();
    let name = t.name("renamed");
    docker.rename_container(&id, query::RenameContainerOptionsBuilder::default().name(&name).build()).await.unwrap();
    docker.restart_container(&name, None::<query::RestartContainerOptions>).await.unwrap();
    docker.kill_container(&name, Some(query::KillContainerOptionsBuilder::default().signal("SIGKILL").build())).await.unwrap();
    docker.remove_container(&name, Some(query::RemoveContainerOptionsBuilder::default().force(true).build())).await.unwrap();
}
