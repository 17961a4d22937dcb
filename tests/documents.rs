//! What the documents say of this repository and its programs is there: links, files, scripts, fields of the configuration, options, events,
//! codes, metrics and paths of HTTP. Their examples run elsewhere: configurations and commands with the gateway's tests, pages with
//! `tests/package` and `tests/e2e`.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const README_WORDS: usize = 1_500;

/// Ends of file names, which look like fields.
const FILES: &[&str] = &["cfg", "js", "md", "mjs", "rs", "toml"];

#[test]
fn the_readme_is_short() {
    let words = read("README.md").split_whitespace().count();
    assert!(words <= README_WORDS, "README.md has {words} words; {README_WORDS} is the most");
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for document in documents() {
        for link in document.links() {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { document.path.clone() } else { document.folder().join(path) };
            if !root().join(&target).exists() {
                wrong.push(document.says(&format!("the link {link} leads nowhere")));
            } else if !anchor.is_empty() && !anchors(&read_path(&target)).contains(anchor) {
                wrong.push(document.says(&format!("the link {link} names no heading")));
            }
        }
    }
    none(wrong);
}

#[test]
fn files_scripts_and_what_is_told_to_them_exist() {
    let suites = read("scripts/test");
    let suites: Vec<&str> = between(&suites, "SUITES=\"", "\"").split(' ').collect();
    let mut wrong = Vec::new();
    for document in documents() {
        for code in document.code() {
            wrong.extend(
                files(&code).filter(|file| !root().join(file).exists()).map(|file| document.says(&format!("there is no {file}"))),
            );
            let words: Vec<&str> = code.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
            for pair in words.windows(2) {
                let known = match *pair {
                    ["scripts/test", suite] => suite.starts_with('-') || suite.ends_with('…') || suites.contains(&suite),
                    ["--test", test] => is_test(test),
                    _ => true,
                };
                if !known {
                    wrong.push(document.says(&format!("{code}: there is no {}", pair[1])));
                }
            }
            if words.first() == Some(&"scripts/fuzz") {
                let mut targets = words[1..].iter().filter(|word| word.bytes().all(|b| b.is_ascii_lowercase()));
                wrong.extend(
                    targets.find(|target| !root().join("fuzz/seeds").join(target).is_dir()).map(|target| document.says(target)),
                );
            }
        }
    }
    none(wrong);
}

#[test]
fn fields_of_the_configuration_exist() {
    let fields = configuration();
    assert!(
        fields.contains("listen.port") && fields.contains("trunk.silence") && fields.len() > 90,
        "offhook.toml is read: {fields:?}"
    );
    let sections: BTreeSet<&str> = fields.iter().filter_map(|field| field.split('.').next()).collect();
    let mut wrong = Vec::new();
    for document in documents().filter(Document::is_told_to_users) {
        for code in document.spans() {
            let field = code.split(['=', ' ']).next().unwrap_or_default();
            let Some((section, key)) = field.split_once('.') else { continue };
            let named =
                sections.contains(section) && !FILES.contains(&key) && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if named && !fields.contains(field) {
                wrong.push(document.says(&format!("there is no field {field}")));
            }
        }
    }
    none(wrong);
}

#[test]
fn variables_codes_metrics_and_requests_exist() {
    let sources: String = ["gateway", "crates", "src", "scripts", "tests"].into_iter().flat_map(sources).collect();
    let mut wrong = Vec::new();
    for document in documents().filter(Document::is_told_to_users) {
        for code in document.code().chain(document.cells()) {
            for word in code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                let known = if word.starts_with("OFFHOOK_") {
                    sources.contains(word)
                } else if is_error_code(word) {
                    sources.contains(word) || sources.contains(&format!("{}_{}", &word[..2], &word[2..]))
                } else if let Some(metric) = word.strip_prefix("offhook_") {
                    sources.contains(&format!("\"{}\"", metric.trim_end_matches("_total")))
                } else {
                    true
                };
                if !known {
                    wrong.push(document.says(&format!("nothing in the sources knows {word}")));
                }
            }
            let requests = ["GET ", "POST ", "PUT ", "DELETE "].into_iter().filter_map(|method| code.strip_prefix(method));
            for path in requests.map(|path| path.split(['?', '{', ' ']).next().unwrap_or_default()) {
                if !sources.contains(&format!("\"{path}")) {
                    wrong.push(document.says(&format!("no request has the path {path}")));
                }
            }
        }
    }
    none(wrong);
}

#[test]
fn options_and_events_are_those_of_the_types() {
    let (types, page) = (read("src/js/types.d.ts"), read("docs/pages.md"));
    let config = between(&types, "interface SinchClientConfig {", "\n}");
    let options: BTreeSet<String> = config.lines().filter_map(|line| member(line.strip_prefix("  ")?)).collect();
    let table = between(&page, "| option | default | meaning |", "\n\n");
    let documented: BTreeSet<String> =
        table.lines().filter_map(|row| Some(row.strip_prefix("| `")?.split('`').next()?.to_owned())).collect();
    assert_eq!(options, documented, "the options of src/js/types.d.ts, and those of docs/pages.md");
    let handlers = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        words
            .filter(|word| word.strip_prefix("on").is_some_and(|rest| rest.starts_with(char::is_uppercase)))
            .map(str::to_owned)
            .collect()
    };
    let events: BTreeSet<String> = handlers(&types).difference(&options).cloned().collect();
    let documented = handlers(between(&page, "## Events", "\n## "));
    assert_eq!(events, documented, "the events of src/js/types.d.ts, and those of docs/pages.md");
}

#[test]
fn defines_of_kamailio_exist() {
    let configuration: String =
        ["kamailio.cfg", "media.cfg", "cluster.cfg"].map(|name| read(&format!("deploy/kamailio/{name}"))).concat();
    let names: BTreeSet<&str> = configuration.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let document = read("docs/kamailio.md");
    let mut count = 0;
    for row in document.lines().filter(|row| row.starts_with("| `")) {
        for define in row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2) {
            assert!(names.contains(define), "docs/kamailio.md: {define} is in no configuration of deploy/kamailio");
            count += 1;
        }
    }
    assert!(count > 15, "the defines are found: {count}");
}

/// A Markdown file: `path` from the top of the repository.
struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    fn folder(&self) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).to_owned()
    }

    fn says(&self, what: &str) -> String {
        format!("{}: {what}", self.path.display())
    }

    /// Whether it describes what there is now, in full names.
    fn is_told_to_users(&self) -> bool {
        self.path.starts_with("docs") || self.path == Path::new("README.md")
    }

    /// Relative links and pictures.
    fn links(&self) -> impl Iterator<Item = String> {
        let links = self.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        links.filter(|link| !link.contains("://") && !link.contains(' ')).map(str::to_owned)
    }

    /// Code spans outside of code blocks.
    fn spans(&self) -> impl Iterator<Item = String> {
        let prose = self.text.split("```").step_by(2).flat_map(str::lines);
        prose.flat_map(|line| line.split('`').skip(1).step_by(2)).map(str::to_owned)
    }

    /// Code spans, and the lines of code blocks.
    fn code(&self) -> impl Iterator<Item = String> {
        let blocks = self.text.split("```").skip(1).step_by(2).flat_map(|block| block.lines().skip(1));
        self.spans().chain(blocks.map(str::to_owned))
    }

    /// The cells of tables.
    fn cells(&self) -> impl Iterator<Item = String> {
        self.text.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('|')).map(|cell| cell.trim().to_owned())
    }
}

fn documents() -> impl Iterator<Item = Document> {
    let inside = ["docs", "deploy/kamailio"].into_iter().flat_map(|folder| {
        let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
        entries.flatten().map(move |entry| Path::new(folder).join(entry.file_name())).collect::<Vec<PathBuf>>()
    });
    let top = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(PathBuf::from);
    let paths = top.into_iter().chain(inside).filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.map(|path| Document { text: read_path(&path), path })
}

/// The ids that a reader of Markdown gives to headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings =
        text.lines().filter_map(|line| line.strip_prefix('#')).map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|heading| heading.chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

/// What names a file or folder of this repository: its first part is a folder at the top.
fn files(code: &str) -> impl Iterator<Item = &str> {
    let words = code.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | ')' | ',' | ';' | '='));
    let made = ["target/", "pkg/dist", "pkg/wasm"];
    words.filter(move |word| {
        let top = word.split_once('/').map(|(top, _)| top).filter(|top| !top.is_empty() && !top.starts_with('.'));
        top.is_some_and(|top| root().join(top).is_dir())
            && !made.iter().any(|made| word.starts_with(made))
            && !word.contains(['*', '{', '|', '…'])
    })
}

/// Whether some crate has an integration test of this name.
fn is_test(name: &str) -> bool {
    let crates =
        fs::read_dir(root().join("crates")).map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<PathBuf>>());
    let homes = crates.unwrap_or_default().into_iter().chain([root().to_owned(), root().join("gateway")]);
    homes.map(|home| home.join("tests")).any(|tests| tests.join(name).is_dir() || tests.join(name).with_extension("rs").exists())
}

/// `section.key` of every field in `gateway/offhook.toml`, also of those that are commented out.
fn configuration() -> BTreeSet<String> {
    let mut section = String::new();
    let mut fields = BTreeSet::new();
    for line in read("gateway/offhook.toml").lines() {
        let line = line.trim_start_matches('#');
        if let Some(name) = line.strip_prefix('[') {
            name.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        {
            fields.insert(format!("{section}.{key}"));
        }
    }
    fields
}

/// The name of `name?: type;` and `name: type;`.
fn member(line: &str) -> Option<String> {
    let name = line.split([':', '?']).next()?;
    (!name.is_empty() && line.contains(':') && name.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| name.to_owned())
}

/// A code of the JavaScript API: a SIP status and two digits.
fn is_error_code(word: &str) -> bool {
    word.len() == 5 && word.starts_with(['4', '5']) && word.bytes().all(|b| b.is_ascii_digit())
}

/// The texts of all sources in a folder, without what was built or installed.
fn sources(folder: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_none_or(|extension| extension == "rs" || extension == "mjs") {
                texts.extend(fs::read_to_string(&path));
            }
        }
    }
    texts
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from:?}"));
    rest.split_once(to).map_or(rest, |(inside, _)| inside)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    read_path(Path::new(path))
}

fn read_path(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// No complaint is left; else all of them are shown.
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}
