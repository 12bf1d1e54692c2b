//! Chromium on a site that a test serves.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

#[path = "chromium.rs"]
mod chromium;

use chromium::{cannot_run, chromium};

/// Chromium with a profile of its own, gone when it is dropped.
struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn open(address: &str, arguments: &[&str]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = chromium(profile.path());
        command
            .args(["--no-first-run", "--disable-background-networking"])
            .args(arguments)
            .arg(address)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| cannot_run(&command, &error));
        Self { child, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens `page` of the site that is in one of these folders in a browser with these arguments, runs
/// `probe` in it, an async function's body, and returns what that returns. `fetch` in it finds the folders'
/// files.
pub fn probed(folders: &[&Path], page: &str, arguments: &[&str], probe: &str) -> Value {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/{page}", listener.local_addr().unwrap());
    let script = format!(
        "(async () => {{\n{probe}\n}})().then(value => ({{ value }}), error => ({{ error: `${{error}} \
         ${{error.stack}}` }})).then(answer => fetch(\"/answer\", {{ method: \"POST\", body: \
         JSON.stringify(answer) }}));"
    );
    let (sender, receiver) = mpsc::channel();
    let folders = folders.iter().map(|&folder| folder.to_owned()).collect();
    let server = Server { folders, script, sender };
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let server = server.clone();
            thread::spawn(move || server.answer(stream));
        }
    });
    let _browser = Browser::open(&address, arguments);
    let answer = receiver.recv_timeout(Duration::from_secs(600));
    let answer: Value = answer.unwrap_or_else(|_| panic!("{page} does not answer"));
    assert!(answer.get("error").is_none(), "{page}: {}", answer["error"]);
    answer["value"].clone()
}

#[derive(Clone)]
struct Server {
    folders: Vec<PathBuf>,
    script: String,
    sender: mpsc::Sender<Value>,
}

impl Server {
    /// One request of a connection; what Chromium breaks off concerns nobody.
    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(&stream);
        let mut request = String::new();
        let _ = reader.read_line(&mut request);
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) <= 2 {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let (kind, body) = if path == "answer" {
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let _ = self.sender.send(serde_json::from_slice(&body).unwrap_or(Value::Null));
            ("text/plain", Some(Vec::new()))
        } else if path == "probe.js" {
            ("text/javascript", Some(self.script.clone().into_bytes()))
        } else {
            let found = self.folders.iter().find_map(|folder| fs::read(folder.join(&path)).ok());
            match path.rsplit('.').next() {
                Some("html") => ("text/html; charset=utf-8", found.map(with_probe)),
                Some("js") => ("text/javascript; charset=utf-8", found),
                Some("css") => ("text/css; charset=utf-8", found),
                Some("json") => ("application/json", found),
                _ => ("application/octet-stream", found),
            }
        };
        let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
        let body = body.unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: \
             close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    }
}

fn with_probe(html: Vec<u8>) -> Vec<u8> {
    let html = String::from_utf8(html).unwrap();
    html.replace("</body>", "<script src=\"probe.js\"></script></body>").into_bytes()
}
