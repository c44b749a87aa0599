//! The web server under load: counts what it serves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) struct Shop {
    port: u16,
    served: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Shop {
    pub(crate) fn open() -> Shop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::default();
        let shared = Arc::clone(&served);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let served = Arc::clone(&shared);
                // Connections end as k6 likes.
                std::thread::spawn(move || drop(serve(&connection, &served)));
            }
        });
        Shop { port, served }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many requests each path had.
    pub(crate) fn served(&self) -> BTreeMap<String, u64> {
        self.served.lock().unwrap().clone()
    }
}

fn serve(connection: &TcpStream, served: &Mutex<BTreeMap<String, u64>>) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(connection), connection);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let target = line.split(' ').nth(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        let status = match path.as_str() {
            "/front" => "200 OK",
            "/slow" => {
                std::thread::sleep(Duration::from_millis(50));
                "404 Not Found"
            }
            _ => "503 Service Unavailable",
        };
        *served.lock().unwrap().entry(path).or_default() += 1;
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello");
        writer.write_all(answer.as_bytes())?;
    }
}
