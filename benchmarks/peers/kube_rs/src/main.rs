//! What a watch with kube-rs' reflector costs; called by the benchmarks in Python.
//!
//!     kube_rs URL OBJECTS EVENTS WARM_UP names|reads
//!
//! It prints the costs as one line of JSON: CPU microseconds of the first list and of an event, and resident bytes.

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Config};
use std::pin::pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// User and system time of this process so far, in microseconds: that of all its threads.
fn cpu() -> f64 {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let micro = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    micro(usage.ru_utime) + micro(usage.ru_stime)
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("VmRSS: 0 kB");
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn read(pod: &Pod, reads: bool) -> Result<(), Failure> {
    if pod.metadata.name.is_none() {
        return Err("a pod without a name".into());
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_ref());
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
    if reads && (phase.is_none() || node.is_none()) {
        return Err("a pod without a phase or a node".into());
    }
    Ok(())
}

async fn begin(url: &str) -> Result<(), Failure> {
    let address = url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET /replay/begin HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut answer = [0u8; 64];
    let _ = stream.read(&mut answer).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let given: Vec<String> = std::env::args().collect();
    if given.len() != 6 {
        return Err("expected URL OBJECTS EVENTS WARM_UP names|reads".into());
    }
    let url = given[1].as_str();
    let (objects, events, warm_up): (u64, u64, u64) = (given[2].parse()?, given[3].parse()?, given[4].parse()?);
    let reads = given[5] == "reads";
    let start = cpu();
    let client = Client::try_from(Config::new(url.parse()?))?;
    let (store, writer) = reflector::store::<Pod>();
    let settings = watcher::Config::default().streaming_lists();
    let stream = watcher(Api::<Pod>::all(client), settings).default_backoff().reflect(writer);
    let mut stream = pin!(stream);
    let (mut sync, mut held, mut began, mut seen) = (0.0, 0, 0.0, 0u64);
    while let Some(event) = stream.try_next().await? {
        match event {
            watcher::Event::InitApply(pod) => read(&pod, reads)?,
            watcher::Event::InitDone => {
                sync = cpu() - start;
                if store.len() as u64 != objects {
                    return Err(format!("{} objects in place of {objects}", store.len()).into());
                }
                #[cfg(target_env = "gnu")]
                unsafe {
                    libc::malloc_trim(0);
                }
                held = resident();
                if events == 0 {
                    println!("{{\"sync\": {sync}, \"held\": {held}}}");
                    return Ok(());
                }
                begin(url).await?;
            }
            watcher::Event::Apply(pod) => {
                read(&pod, reads)?;
                seen += 1;
                if seen == warm_up {
                    began = cpu();
                } else if seen == warm_up + events {
                    let event = (cpu() - began) / events as f64;
                    println!("{{\"sync\": {sync}, \"held\": {held}, \"event\": {event}}}");
                    return Ok(());
                }
            }
            _ => {}
        }
    }
    Err(format!("the watch ended after {seen} events").into())
}
