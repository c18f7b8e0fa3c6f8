//! A server under abuse by clients that hold connections without using them, from many addresses.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use dabba_testkit::PATIENCE;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::support::{Server, StopWhenDropped, block_on};

/// Number of addresses of the abusers: 127.0.0.2 and the following ones.
const ADDRESSES: u8 = 24;
/// Number of connections per address that send half a head and nothing more.
const HALVES: usize = 400;
/// Pause of an abuser between two attempts, so that the abusers leave processor time to the server on a small machine.
const PAUSE: Duration = Duration::from_millis(2);
/// Time for which orders are placed during the abuse.
const TIME: Duration = Duration::from_secs(8);
/// Maximum memory of the server, in bytes.
const MEMORY: u64 = 256 * 1_024 * 1_024;
/// Maximum time of an order: many times the measured time, so that CI does not fail on a slow machine.
const LONGEST: Duration = Duration::from_secs(5);

/// Opens a connection from another loopback address.
fn connect_from(last: u8, to: SocketAddr) -> Option<TcpStream> {
    // The sockets are not inherited by the servers that other tests start at the same time.
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).ok()?;
    bind(&socket, &SocketAddr::from(([127, 0, 0, last], 0))).ok()?;
    connect(&socket, &to).ok()?;
    let connection = TcpStream::from(socket);
    connection.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(connection)
}

/// Returns whether the server has kept a connection open.
fn is_open(connection: &TcpStream) -> bool {
    let mut connection = connection;
    connection.set_nonblocking(true).is_ok() && !matches!(connection.read(&mut [0]), Ok(0))
}

/// Returns the resident memory of a process, in bytes.
fn memory_of(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}

/// Proves that a client is served quickly while other clients hold thousands of half requests, send endless heads and read no
/// responses, from many addresses; that the server's memory stays within its limit; and that the server still stops in order.
#[test]
fn abuse_does_not_affect_other_clients() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path(), &[]);
    let address: SocketAddr =
        server.announced_text("/address").trim_start_matches("http://").parse().unwrap();
    let (stop, attempts) = (AtomicBool::new(false), AtomicU64::new(0));
    let path = server.orders_path();
    let menu = format!(
        "GET /v1/restaurants/{}/menu HTTP/1.1\r\nHost: dabba\r\n\r\n",
        server.announced_text("/restaurant_id")
    );
    let mut longest = Duration::ZERO;
    let (mut placed, mut most) = (0, 0);
    let is_on = || !stop.load(Ordering::Relaxed);
    thread::scope(|scope| {
        let _stopping = StopWhenDropped(&stop);
        // Sends half a head, and reconnects whenever the server has closed the connection.
        scope.spawn(|| {
            let mut held: Vec<TcpStream> = Vec::new();
            while is_on() {
                for last in 2..2 + ADDRESSES {
                    let room = (HALVES * usize::from(ADDRESSES)).saturating_sub(held.len()).min(40);
                    for _ in 0..room {
                        let Some(mut connection) = connect_from(last, address) else { break };
                        let _ = connection.write_all(b"POST /v1/tokens HTTP/1.1\r\nX-Half: ");
                        attempts.fetch_add(1, Ordering::Relaxed);
                        held.push(connection);
                    }
                }
                held.retain(is_open);
                thread::sleep(PAUSE);
            }
        });
        // Sends endless heads.
        scope.spawn(|| {
            while is_on() {
                if let Some(mut connection) = connect_from(30, address) {
                    while is_on() && connection.write_all(&[b'a'; 4_096]).is_ok() {}
                }
                thread::sleep(PAUSE);
            }
        });
        // Sends requests and does not read the responses.
        scope.spawn(|| {
            let mut held = Vec::new();
            while is_on() {
                if let Some(mut connection) = connect_from(31, address).filter(|_| held.len() < 256) {
                    connection.set_nonblocking(true).unwrap();
                    for _ in 0..200 {
                        let _ = connection.write(menu.as_bytes());
                    }
                    held.push(connection);
                } else {
                    held.clear();
                }
                thread::sleep(PAUSE);
            }
        });
        let began = Instant::now();
        block_on(async {
            let order = &server.announcement["order"];
            while began.elapsed() < TIME {
                let asked = Instant::now();
                let client = server.client("customer");
                let key = format!("order-{placed}");
                let answer = client.post(&path).idempotency_key(&key).json(order).send().await.unwrap();
                assert_eq!(answer.status, 201, "{answer:?}");
                longest = longest.max(asked.elapsed());
                placed += 1;
                most = most.max(memory_of(server.process_id()));
            }
        });
    });
    println!(
        "{placed} orders beside {} half requests: the longest took {longest:?}, the server used at most {} MiB",
        attempts.load(Ordering::Relaxed),
        most / 1_024 / 1_024
    );
    assert!(longest < LONGEST, "{longest:?}");
    assert!(most < MEMORY, "{most}");
    server.signal("TERM");
    assert!(server.wait().success());
}
