//! Connections: taken, bounded in number and patience, and ended when the server stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use super::patient::Patient;
use super::{Edge, Peer};

/// The largest head of a request, in bytes and in lines.
const HEAD_BYTES: usize = 64 << 10;
const HEADERS: usize = 64;
/// How long requests that are under way may take after the server has been told to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);
/// How long to wait where the system gives no more connections.
const BREATH: Duration = Duration::from_millis(500);

impl Edge {
    /// Answers requests until `stop` is ready, then finishes those under way.
    pub async fn serve(
        &self,
        listener: TcpListener,
        router: Router,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let router = self.around(router);
        let places = Arc::new(Semaphore::new(self.0.settings.connections));
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let (stream, place) = tokio::select! {
                taken = self.next(&listener, &places) => taken,
                () = &mut stop => break,
            };
            let Ok(peer) = stream.peer_addr() else { continue };
            // Small answers shall not wait for more; where the system does not do that, they do.
            let _ = stream.set_nodelay(true);
            let (router, metrics) = (router.clone(), self.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(Peer(peer));
                router.clone().oneshot(request)
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(self.0.settings.head);
            builder.max_buf_size(HEAD_BYTES).max_headers(HEADERS);
            let connection = builder.serve_connection(TokioIo::new(Patient::new(stream)), service);
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                metrics.metrics().connected(1);
                // A client that goes away, or talks no HTTP, is nobody's business.
                let _ = connection.await;
                metrics.metrics().connected(-1);
                drop(place);
            });
        }
        drop(listener);
        // A client that does not read its answer would keep the server for ever.
        let _ = tokio::time::timeout(LAST_REQUESTS, graceful.shutdown()).await;
        Ok(())
    }

    /// The next connection, once there is a place for one.
    async fn next(
        &self,
        listener: &TcpListener,
        places: &Arc<Semaphore>,
    ) -> (TcpStream, OwnedSemaphorePermit) {
        let place = Arc::clone(places).acquire_owned().await.expect("nobody closes it");
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return (stream, place),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    self.log(&format!("no more connections can be taken: {error}"));
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
}

/// Has the client gone before it was met?
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
