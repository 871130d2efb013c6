//! HTTP requests that Rust guests have made here, over a socket in the folder that they share.

use std::sync::Arc;

use bytes::Bytes;
use faas_core::http::{HttpClient, HttpResponse, MAX_BODY, MAX_HEAD, decode_request, encode_response};
use faas_core::{ActionSpec, Error, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::error;
use crate::home::Shared;

/// The requests that one container may have under way for each activation that it may run at once. Arbitrary, and the
/// same as on other backends.
const MOST: usize = 16;

/// The largest request in its encoding: a body, and a head that may take four bytes for each.
const LARGEST: u64 = (MAX_BODY + 4 * MAX_HEAD + 1) as u64;

/// Makes requests for the guest of one container. Dropping it ends them.
pub(crate) struct Egress(JoinHandle<()>);

impl Drop for Egress {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Egress {
    /// Listens in the folder that is shared with the container of an action.
    pub(crate) fn start(
        shared: &Shared,
        spec: Arc<ActionSpec>,
        client: Arc<dyn HttpClient>,
    ) -> Result<Self, Error> {
        let path = shared.egress_socket();
        let listener = UnixListener::bind(&path)
            .and_then(|listener| {
                // The guest is another user; the folder tells who may come here.
                let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
                std::fs::set_permissions(&path, open)?;
                Ok(listener)
            })
            .map_err(|source| error::file(ErrorKind::Unavailable, "cannot listen on", &path, source))?;
        Ok(Self(tokio::spawn(attend(listener, spec, client))))
    }
}

async fn attend(listener: UnixListener, spec: Arc<ActionSpec>, client: Arc<dyn HttpClient>) {
    let places = MOST * usize::try_from(spec.limits.concurrency).unwrap_or(1);
    let places = Arc::new(Semaphore::new(places));
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (spec, client, places) = (Arc::clone(&spec), Arc::clone(&client), Arc::clone(&places));
                requests.spawn(async move {
                    // A guest that does not listen to the answer is no concern of the host's.
                    let _ = serve(stream, &spec, &*client, &places).await;
                });
            }
            Some(_) = requests.join_next() => {}
        }
    }
}

/// Reads a request and writes what became of it, each after its length in eight bytes, least significant first.
async fn serve(
    mut stream: UnixStream,
    spec: &ActionSpec,
    client: &dyn HttpClient,
    places: &Semaphore,
) -> std::io::Result<()> {
    let length = stream.read_u64_le().await?;
    if length > LARGEST {
        let text = format!("the request has {length} bytes, and {LARGEST} are allowed");
        return answer(&mut stream, &Err(Error::new(ErrorKind::InvalidArgument, text))).await;
    }
    let mut bytes = Vec::new();
    (&mut stream).take(length).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 != length {
        return Ok(());
    }
    let Ok(_place) = places.try_acquire() else {
        let text = format!("an activation may have {MOST} requests under way");
        return answer(&mut stream, &Err(Error::new(ErrorKind::Exhausted, text))).await;
    };
    // The guest has looked as well, but guests may say anything.
    let request = decode_request(Bytes::from(bytes)).and_then(|request| {
        spec.egress.check(&request)?;
        Ok(request)
    });
    let mut end = [0; 1];
    let result = match request {
        Ok(request) => tokio::select! {
            result = client.send(request) => result,
            // The guest has left, or says something that nobody asked for.
            _ = stream.read(&mut end) => return Ok(()),
        },
        Err(error) => Err(error),
    };
    answer(&mut stream, &result).await
}

async fn answer(stream: &mut UnixStream, result: &Result<HttpResponse, Error>) -> std::io::Result<()> {
    let bytes = encode_response(result);
    stream.write_u64_le(bytes.len() as u64).await?;
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}
