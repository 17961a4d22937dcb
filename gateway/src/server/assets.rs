//! The demo page and the built package: a table of exact paths, so that no request is used as a file name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use offhook_sip::text::hex;
use rust_embed::Embed;
use sha2::{Digest, Sha256};

use crate::config::Files;

/// The demo page in the binary.
#[derive(Embed)]
#[folder = "../www/"]
#[allow_missing = true]
struct Www;

/// The built package in the binary.
#[derive(Embed)]
#[folder = "../pkg/dist/"]
#[allow_missing = true]
struct Package;

/// The licences of the software in the binary.
const THIRD_PARTY: &[u8] = include_bytes!("../../../THIRD-PARTY.txt");

/// The Content-Security-Policy of the demo page: nothing from other origins, no inline script, WebAssembly.
const STRICT: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self' ws: wss:; \
    media-src 'self' blob: data: mediastream:; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'";

/// The policy of the page with snippets of others, which needs inline scripts and jQuery, which creates scripts from text.
const SNIPPETS: &str = "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; \
    connect-src 'self' ws: wss:; media-src 'self' blob: data: mediastream:; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
    frame-ancestors 'none'";

/// The policy of all other responses, in case a browser displays them as a page.
pub const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// The depth to which folders are searched.
const DEPTH: usize = 8;

/// All files that can be requested.
#[derive(Debug, Default)]
pub struct Assets {
    table: BTreeMap<String, Source>,
}

#[derive(Debug)]
enum Source {
    Memory(Asset),
    /// Read for each request: an operator who sets a folder wants to see changes.
    File(PathBuf),
}

#[derive(Debug)]
struct Asset {
    bytes: Bytes,
    etag: HeaderValue,
}

impl Asset {
    fn new(bytes: Cow<'static, [u8]>) -> Self {
        let etag = format!("\"{}\"", hex(&Sha256::digest(&bytes)[..16]));
        let bytes = match bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        };
        Self { bytes, etag: HeaderValue::from_str(&etag).expect("hexadecimal digits in quotes") }
    }
}

impl Assets {
    /// Returns the files of the binary, or of the configured folders.
    pub fn load(files: &Files) -> std::io::Result<Self> {
        let mut assets = Self::default();
        if files.package.as_os_str().is_empty() {
            assets.embed::<Package>("/pkg/");
        } else {
            assets.folder(&files.package, "/pkg/", DEPTH)?;
        }
        // The classic script has a short path of its own.
        match assets.table.get("/pkg/offhook.js") {
            Some(Source::Memory(script)) => {
                let script = Asset { bytes: script.bytes.clone(), etag: script.etag.clone() };
                assets.table.insert("/offhook.js".into(), Source::Memory(script));
            }
            Some(Source::File(path)) => {
                let path = path.clone();
                assets.table.insert("/offhook.js".into(), Source::File(path));
            }
            None => {}
        }
        if files.www.as_os_str().is_empty() {
            assets.embed::<Www>("/");
        } else {
            assets.folder(&files.www, "/", DEPTH)?;
        }
        assets.table.insert("/third-party.txt".into(), Source::Memory(Asset::new(THIRD_PARTY.into())));
        if let Some(index) = assets.table.remove("/index.html") {
            assets.table.insert("/".into(), index);
        }
        Ok(assets)
    }

    fn embed<E: Embed>(&mut self, prefix: &str) {
        for name in E::iter() {
            if let Some(file) = E::get(&name).filter(|_| is_public(&name)) {
                self.table.insert(format!("{prefix}{name}"), Source::Memory(Asset::new(file.data)));
            }
        }
    }

    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // `file_type` does not follow links: a link could lead out of the folder.
            let kind = entry.file_type()?;
            if kind.is_dir() && depth > 0 && is_public(&name) {
                self.folder(&entry.path(), &format!("{prefix}{name}/"), depth - 1)?;
            } else if kind.is_file() && is_public(&name) {
                self.table.insert(format!("{prefix}{name}"), Source::File(entry.path()));
            }
        }
        Ok(())
    }

    /// Returns the response to `GET path`.
    pub async fn get(&self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let read;
        let asset = match self.table.get(path)? {
            Source::Memory(asset) => asset,
            Source::File(file) => {
                let file = file.clone();
                // A file that has been removed since the start is not found, like any other.
                read = Asset::new(tokio::task::spawn_blocking(|| std::fs::read(file)).await.ok()?.ok()?.into());
                &read
            }
        };
        Some(respond(path, asset, headers))
    }
}

fn respond(path: &str, asset: &Asset, headers: &HeaderMap) -> Response {
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|tags| tags.as_bytes().split(|&b| b == b',').any(|tag| tag.trim_ascii() == asset.etag.as_bytes()));
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { Response::new(Body::from(asset.bytes.clone())) };
    let answer = response.headers_mut();
    answer.insert(ETAG, asset.etag.clone());
    // Revalidated at each use, mostly with 304: a new build must be visible at once.
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(mime(path)));
    let policy = match path {
        "/snippets.html" => SNIPPETS,
        _ if mime(path).starts_with("text/html") => STRICT,
        _ => NOTHING,
    };
    answer.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// Whether a file is hidden, or a backup of an editor: such files are not served.
fn is_public(name: &str) -> bool {
    name.split('/').all(|part| !part.starts_with('.') && !part.ends_with('~'))
}

fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "js" | "mjs" | "cjs" => "text/javascript; charset=utf-8",
        "wasm" => "application/wasm",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webmanifest" => "application/manifest+json",
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "ogg" | "opus" => "audio/ogg",
        "woff2" => "font/woff2",
        "txt" | "md" | "ts" => "text/plain; charset=utf-8",
        _ if path == "/" || path.ends_with(".html") => "text/html; charset=utf-8",
        _ => "application/octet-stream",
    }
}
