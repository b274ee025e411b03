//! Checks of a Kubernetes API server by kube-rs: `kinformer_foreign URL`.
//!
//! Each check prints one line: "ok NAME" or "FAIL NAME:  REASON".

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::{WatchStreamExt, predicates, reflector, wait, watcher};
use kube::{Client, Config, ResourceExt};
use serde_json::json;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const FINALIZER: &str = "kinformer.example/cleanup";

fn configmap(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": value}}))
        .expect("a ConfigMap")
}

async fn check(name: &str, result: impl Future<Output = Result<(), Failure>>) {
    match tokio::time::timeout(Duration::from_secs(20), result).await {
        Ok(Ok(())) => println!("ok {name}"),
        Ok(Err(error)) => println!("FAIL {name}:  {}", error.to_string().replace('\n', " | ")),
        Err(_) => println!("FAIL {name}:  not done within 20 seconds"),
    }
}

/// Wait until a condition holds.
async fn until(what: &str, holds: impl Fn() -> bool) -> Result<(), Failure> {
    for _ in 0..150 {
        if holds() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("never: {what}").into())
}

/// Verbs of one kind, with their errors.
async fn verbs(api: Api<ConfigMap>) -> Result<(), Failure> {
    let made = api
        .create(&PostParams::default(), &configmap("verbs", "1"))
        .await?;
    match api
        .create(&PostParams::default(), &configmap("verbs", "1"))
        .await
    {
        Err(kube::Error::Api(status)) if status.is_already_exists() => (),
        other => return Err(format!("a second create: {other:?}").into()),
    }
    let mut changed = made.clone();
    changed.data = configmap("verbs", "2").data;
    api.replace("verbs", &PostParams::default(), &changed)
        .await?;
    match api.replace("verbs", &PostParams::default(), &changed).await {
        Err(kube::Error::Api(status)) if status.is_conflict() => (),
        other => return Err(format!("a replace of an old version: {other:?}").into()),
    }
    api.patch(
        "verbs",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"b": "1"}})),
    )
    .await?;
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"c": "1"}});
    api.patch(
        "verbs",
        &PatchParams::apply("kube-rs").force(),
        &Patch::Apply(applied),
    )
    .await?;
    let listed = api
        .list(&ListParams::default().fields("metadata.name=verbs"))
        .await?;
    if listed.items.len() != 1
        || listed.items[0]
            .data
            .as_ref()
            .is_none_or(|data| data.len() != 3)
    {
        return Err(format!("listed {listed:?}").into());
    }
    api.delete("verbs", &DeleteParams::default()).await?;
    match api.get_opt("verbs").await? {
        None => Ok(()),
        Some(_) => Err("still there".into()),
    }
}

/// A reflector that lists by streaming or by pages, and follows changes.
async fn informer(
    api: Api<ConfigMap>,
    prefix: &str,
    config: watcher::Config,
) -> Result<(), Failure> {
    for number in 0..7 {
        api.create(
            &PostParams::default(),
            &configmap(&format!("{prefix}-{number}"), "1"),
        )
        .await?;
    }
    let (store, writer) = reflector::store();
    let events = Arc::new(AtomicUsize::new(0));
    let counted = events.clone();
    let stream = watcher(api.clone(), config)
        .default_backoff()
        .reflect(writer)
        .applied_objects();
    let task = tokio::spawn(stream.for_each(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        futures::future::ready(())
    }));
    store.wait_until_ready().await?;
    let seen = |name: &str, value: &str| {
        store.state().iter().any(|found| {
            found.name_any() == name
                && found
                    .data
                    .as_ref()
                    .and_then(|data| data.get("a"))
                    .is_some_and(|a| a == value)
        })
    };
    let number = store
        .state()
        .iter()
        .filter(|found| found.name_any().starts_with(prefix))
        .count();
    if number != 7 {
        return Err(format!("{number} of 7 objects in the store").into());
    }
    let name = format!("{prefix}-0");
    api.patch(
        &name,
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"a": "2"}})),
    )
    .await?;
    until("the change", || seen(&name, "2")).await?;
    api.delete(&name, &DeleteParams::default()).await?;
    until("the deletion", || {
        !store.state().iter().any(|found| found.name_any() == name)
    })
    .await?;
    task.abort();
    Ok(())
}

struct Shared {
    client: Client,
    cleaned: AtomicUsize,
}

/// One pass of the operator: a Secret for each ConfigMap, owned by it, and a finalizer.
async fn reconcile(
    found: Arc<ConfigMap>,
    shared: Arc<Shared>,
) -> Result<Action, kube::runtime::finalizer::Error<kube::Error>> {
    let namespace = found.namespace().unwrap_or_default();
    let api: Api<ConfigMap> = Api::namespaced(shared.client.clone(), &namespace);
    finalizer(&api, FINALIZER, found, |event| async {
        match event {
            Event::Apply(found) => {
                let secrets: Api<Secret> = Api::namespaced(shared.client.clone(), &namespace);
                let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": found.name_any(), "uid": found.uid(), "controller": true});
                let wanted = json!({
                    "apiVersion": "v1", "kind": "Secret",
                    "metadata": {"name": found.name_any(), "ownerReferences": [owner]},
                    "stringData": {"copy": "1"},
                });
                secrets.patch(&found.name_any(), &PatchParams::apply("operator").force(), &Patch::Apply(wanted)).await?;
            }
            Event::Cleanup(_) => {
                shared.cleaned.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok::<_, kube::Error>(Action::await_change())
    })
    .await
}

/// An operator: it makes owned objects, makes them again, and cleans up before an object goes.
async fn operator(client: Client, namespace: &str) -> Result<(), Failure> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let shared = Arc::new(Shared {
        client: client.clone(),
        cleaned: AtomicUsize::new(0),
    });
    let config = watcher::Config::default().labels("operated=yes");
    let running = Controller::new(api.clone(), config)
        .owns(secrets.clone(), watcher::Config::default())
        .run(
            reconcile,
            |_, _, _| Action::requeue(Duration::from_millis(200)),
            shared.clone(),
        );
    let task = tokio::spawn(running.for_each(|_| futures::future::ready(())));
    let labelled =
        json!({"metadata": {"name": "shop", "labels": {"operated": "yes"}}, "data": {"a": "1"}});
    api.create(&PostParams::default(), &serde_json::from_value(labelled)?)
        .await?;
    let there = |found: Option<&Secret>| found.is_some();
    wait::await_condition(secrets.clone(), "shop", there).await?;
    let first = secrets.get("shop").await?.uid();
    secrets.delete("shop", &DeleteParams::default()).await?;
    wait::await_condition(secrets.clone(), "shop", move |found: Option<&Secret>| {
        found.is_some_and(|found| found.uid() != first)
    })
    .await?;
    api.delete("shop", &DeleteParams::default()).await?;
    wait::await_condition(api.clone(), "shop", |found: Option<&ConfigMap>| {
        found.is_none()
    })
    .await?;
    task.abort();
    match shared.cleaned.load(Ordering::SeqCst) {
        0 => Err("gone without a clean-up".into()),
        _ => Ok(()),
    }
}

/// Two candidates for a Lease: one holds it, the other one conflicts, and takes over when it is released.
async fn leader_election(api: Api<Lease>) -> Result<(), Failure> {
    let lease = |holder: &str| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lead"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.000006Z"},
        })
    };
    api.patch(
        "lead",
        &PatchParams::apply("one").force(),
        &Patch::Apply(lease("one")),
    )
    .await?;
    match api
        .patch(
            "lead",
            &PatchParams::apply("two"),
            &Patch::Apply(lease("two")),
        )
        .await
    {
        Err(kube::Error::Api(status)) if status.is_conflict() => (),
        other => return Err(format!("the second candidate: {other:?}").into()),
    }
    let mut held = api.get("lead").await?;
    let old = held.clone();
    held.spec.as_mut().ok_or("no spec")?.holder_identity = Some(String::new());
    api.replace("lead", &PostParams::default(), &held).await?;
    match api.replace("lead", &PostParams::default(), &old).await {
        Err(kube::Error::Api(status)) if status.is_conflict() => (),
        other => return Err(format!("a renewal of an old version: {other:?}").into()),
    }
    let taken = api
        .patch(
            "lead",
            &PatchParams::apply("two").force(),
            &Patch::Apply(lease("two")),
        )
        .await?;
    match taken.spec.and_then(|spec| spec.holder_identity).as_deref() {
        Some("two") => Ok(()),
        other => Err(format!("held by {other:?}").into()),
    }
}

/// A custom resource: it is defined, established, written with its status, and found by discovery.
async fn custom_resource(client: Client, namespace: &str) -> Result<(), Failure> {
    let crds: Api<DynamicObject> = Api::all_with(
        client.clone(),
        &ApiResource::from_gvk(&GroupVersionKind::gvk(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
        )),
    );
    let plain = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "shops.rust.example.com"},
        "spec": {
            "group": "rust.example.com", "scope": "Namespaced",
            "names": {"plural": "shops", "singular": "shop", "kind": "Shop"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": plain, "status": plain}}},
            }],
        },
    });
    crds.patch(
        "shops.rust.example.com",
        &PatchParams::apply("kube-rs"),
        &Patch::Apply(crd),
    )
    .await?;
    let established = |found: Option<&DynamicObject>| {
        found
            .and_then(|found| found.data["status"]["conditions"].as_array())
            .is_some_and(|conditions| {
                conditions
                    .iter()
                    .any(|one| one["type"] == "Established" && one["status"] == "True")
            })
    };
    wait::await_condition(crds, "shops.rust.example.com", established).await?;
    let kind = GroupVersionKind::gvk("rust.example.com", "v1", "Shop");
    let mut found = kube::discovery::pinned_kind(&client, &kind).await;
    for _ in 0..50 {
        if found.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        found = kube::discovery::pinned_kind(&client, &kind).await;
    }
    let (resource, _) = found?;
    let shops: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
    let shop = DynamicObject::new("corner", &resource).data(json!({"spec": {"size": 3}}));
    shops.create(&PostParams::default(), &shop).await?;
    let state = json!({"status": {"open": true}, "spec": {"size": 9}});
    let written = shops
        .patch_status("corner", &PatchParams::default(), &Patch::Merge(state))
        .await?;
    match (
        &written.data["status"]["open"],
        &written.data["spec"]["size"],
    ) {
        (open, size) if *open == json!(true) && *size == json!(3) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// A watch of metadata alone, of which only changes of labels pass a predicate.
async fn metadata_watch(client: Client, namespace: &str) -> Result<(), Failure> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let partial: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client, namespace);
    api.create(&PostParams::default(), &configmap("meta", "1"))
        .await?;
    let config = watcher::Config::default().fields("metadata.name=meta");
    let stream = watcher(partial, config).default_backoff().applied_objects();
    let mut stream =
        std::pin::pin!(stream.predicate_filter(predicates::labels, Default::default()));
    stream.next().await.ok_or("the stream ended")??;
    api.patch(
        "meta",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"a": "2"}})),
    )
    .await?;
    api.patch(
        "meta",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"labels": {"x": "y"}}})),
    )
    .await?;
    let next = stream.next().await.ok_or("the stream ended")??;
    match next.labels().get("x").map(String::as_str) {
        Some("y") => Ok(()),
        other => Err(format!("the label is {other:?}").into()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let url = std::env::args().nth(1).ok_or("expected URL")?;
    let client = Client::try_from(Config::new(url.parse()?))?;
    let spaces: Api<Namespace> = Api::all(client.clone());
    let named = json!({"metadata": {"generateName": "rust-"}});
    let namespace = spaces
        .create(&PostParams::default(), &serde_json::from_value(named)?)
        .await?
        .name_any();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    check("verbs and their errors", verbs(maps.clone())).await;
    check(
        "informer that lists by pages",
        informer(
            maps.clone(),
            "paged",
            watcher::Config::default().page_size(2),
        ),
    )
    .await;
    check(
        "informer that lists by streaming",
        informer(
            maps.clone(),
            "streamed",
            watcher::Config::default().streaming_lists(),
        ),
    )
    .await;
    check(
        "watch of metadata",
        metadata_watch(client.clone(), &namespace),
    )
    .await;
    check(
        "operator with a finalizer and owned objects",
        operator(client.clone(), &namespace),
    )
    .await;
    check(
        "leader election by a Lease",
        leader_election(Api::namespaced(client.clone(), &namespace)),
    )
    .await;
    check(
        "custom resource with a status",
        custom_resource(client, &namespace),
    )
    .await;
    Ok(())
}
