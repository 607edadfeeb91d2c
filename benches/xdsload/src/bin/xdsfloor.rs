//! `xdsfloor`: the least that a gRPC management server can do for the same work.
//!
//! Replays, byte for byte, what `xdsload --record DIR` received from another server: the first responses of each type
//! to whoever asks, and, at each request to its HTTP port, the next recorded change to every stream. It keeps no
//! state per client and encodes nothing, so its figures are the cost of gRPC framing, HTTP/2 and the kernel on this
//! machine.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use bytes::Bytes;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{NamedService, StreamingService};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use xdsload::codec::{Chunks, Raw};
use xdsload::wire;

/// Replays what another management server sent: the least that such a server can cost.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Folder written by `xdsload --record`
    #[arg(long)]
    replay: PathBuf,
    #[arg(long, default_value = "127.0.0.1:18000")]
    listen: std::net::SocketAddr,
    /// Any GET here sends the next recorded change to every stream
    #[arg(long, default_value = "127.0.0.1:18001")]
    http: std::net::SocketAddr,
}

struct Recorded {
    /// First responses of each type, by type index.
    sync: [Vec<Bytes>; wire::KINDS],
    changes: Vec<Bytes>,
}

fn read(dir: &PathBuf) -> std::io::Result<Recorded> {
    let mut r = Recorded { sync: Default::default(), changes: Vec::new() };
    let mut files: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for f in files {
        let name = f.file_name().to_string_lossy().into_owned();
        let body: Bytes = std::fs::read(f.path())?.into();
        if name.starts_with("change-") {
            r.changes.push(body);
        } else if let Some(t) = wire::NAMES.iter().position(|n| name.ends_with(&format!("-{n}.bin"))) {
            r.sync[t].push(body);
        }
    }
    Ok(r)
}

#[derive(Clone)]
struct Floor {
    recorded: Arc<Recorded>,
    change: watch::Receiver<usize>,
}

type Sender = mpsc::UnboundedSender<Result<Chunks, Status>>;

/// One stream: each type is answered once, each change is passed on.
async fn play(floor: Floor, mut requests: Streaming<Bytes>, tx: Sender) {
    let Floor { recorded, mut change } = floor;
    let mut answered = [false; wire::KINDS];
    let send = |m: &Bytes| tx.send(Ok([m.clone(), Bytes::new()])).is_ok();
    loop {
        tokio::select! {
            request = requests.message() => {
                let Ok(Some(msg)) = request else { return };
                // The type is field 4 of a SotW request and 2 of a delta request (there, field 4 is a name to drop).
                let t = [4, 2].iter().find_map(|no| wire::field(&msg, *no).and_then(wire::type_index));
                if let Some(t) = t && !std::mem::replace(&mut answered[t], true) {
                    recorded.sync[t].iter().for_each(|m| _ = send(m));
                }
            }
            more = change.changed() => {
                if more.is_err() {
                    return;
                }
                let count = recorded.changes.len().max(1);
                let next = (*change.borrow_and_update() + count - 1) % count;
                if recorded.changes.get(next).is_some_and(|m| !send(m)) {
                    return;
                }
            }
        }
    }
}

impl StreamingService<Bytes> for Floor {
    type Response = Chunks;
    type ResponseStream = UnboundedReceiverStream<Result<Chunks, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (tx, rx) = mpsc::unbounded_channel();
        tokio::spawn(play(self.clone(), request.into_inner(), tx));
        Box::pin(async move { Ok(Response::new(UnboundedReceiverStream::new(rx))) })
    }
}

impl NamedService for Floor {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl Service<http::Request<tonic::body::Body>> for Floor {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: http::Request<tonic::body::Body>) -> Self::Future {
        let floor = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Raw)
                .max_decoding_message_size(usize::MAX)
                .max_encoding_message_size(usize::MAX);
            Ok(grpc.streaming(floor, req).await)
        })
    }
}

async fn serve(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let recorded = Arc::new(read(&args.replay)?);
    let (tx, change) = watch::channel(0);
    let http = TcpListener::bind(args.http).await?;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = http.accept().await {
            // A client that is gone before it is answered has still asked for a change.
            let _ = socket.read(&mut [0; 2048]).await;
            tx.send_modify(|sent| *sent += 1);
            let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
            let _ = socket.write_all(answer).await;
        }
    });
    println!("ready");
    let service = Floor { recorded, change };
    Ok(Server::builder().tcp_nodelay(true).add_service(service).serve(args.listen).await?)
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(serve(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xdsfloor: {e}");
            ExitCode::FAILURE
        }
    }
}
