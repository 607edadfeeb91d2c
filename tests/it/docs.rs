//! What the documents say is so: their gateways load, and their commands, flags and metrics are real.
#![cfg(test)]

use crate::cli::serin;
use crate::examples::{entries, examples, project};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The documents for people; `docs/file-format.md` has tests of its own beside the schema.
fn documents() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "envoy/README.md"].map(project).into();
    all.extend(entries(&project("docs")).into_iter().filter(|p| p.extension().is_some_and(|e| e == "md")));
    all.extend(examples().iter().map(|example| example.join("README.md")));
    all
}

fn blocks(text: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn gateways_in_documents_are_good() {
    let mut seen = 0;
    for document in documents().iter().filter(|d| !d.ends_with("file-format.md")) {
        let text = std::fs::read_to_string(document).unwrap();
        for block in blocks(&text, "yaml").iter().filter(|b| b.starts_with("apiVersion: serin/")) {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("gateway.yaml");
            std::fs::write(&file, block).unwrap();
            let run = serin(&["validate", file.to_str().unwrap()]);
            assert_eq!(run.code, 0, "{}: {}", document.display(), run.err);
            seen += 1;
        }
    }
    assert!(seen >= 1, "no document shows a gateway");
}

/// The anchors of a document: its headings as GitHub spells them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let headings = text.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#')
    });
    let spelled = headings.map(|line| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let title: String = line.trim_start_matches('#').trim().chars().filter(kept).collect();
        title.to_lowercase().replace(' ', "-")
    });
    spelled.collect()
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            assert!(path.exists(), "{} links to {target}", document.display());
            if !anchor.is_empty() {
                let there = anchors(&std::fs::read_to_string(&path).unwrap());
                assert!(
                    there.contains(anchor),
                    "{} links to {target}, not among {there:?}",
                    document.display()
                );
            }
        }
    }
}

#[test]
fn readme_links_each_page_and_counts_the_examples() {
    let text = std::fs::read_to_string(project("README.md")).unwrap();
    for page in entries(&project("docs")).iter().filter(|p| p.extension().is_some_and(|e| e == "md")) {
        let link = format!("(docs/{}", page.file_name().unwrap().to_str().unwrap());
        assert!(text.contains(&link), "README.md does not link {}", page.display());
    }
    let count = format!("[examples](examples/): {} cases", examples().len());
    assert!(text.contains(&count), "README.md does not say: {count}");
}

#[test]
fn each_dependency_has_its_reason_beside_it() {
    for manifest in ["Cargo.toml", "benches/xdsload/Cargo.toml"] {
        let text = std::fs::read_to_string(project(manifest)).unwrap();
        let (mut is_dependency, mut seen) = (false, 0);
        for line in text.lines() {
            if line.starts_with('[') {
                is_dependency = line.ends_with("dependencies]");
            } else if is_dependency && line.contains(" = ") {
                seen += 1;
                let reason = line.split_once(" # ").map(|(_, reason)| reason.trim());
                assert!(reason.is_some_and(|r| r.len() > 5), "{manifest}: no reason beside {line}");
            }
        }
        assert!(seen > 5, "{manifest}: only {seen} dependencies");
    }
}

#[test]
fn commands_in_documents_are_real() {
    let mut seen = BTreeSet::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let lines = blocks(&text, "sh").join("\n").replace("\\\n", " ");
        for line in lines.lines().filter_map(|l| l.trim().strip_prefix("serin ")) {
            let line = line.split(['#', '>', '|', '&']).next().unwrap();
            let words: Vec<&str> = line.split_whitespace().collect();
            let command = words.iter().take_while(|w| !w.starts_with('-')).copied();
            let help = serin(&command.chain(["--help"]).collect::<Vec<_>>()).good();
            for flag in words.iter().filter(|w| w.starts_with('-')) {
                assert!(help.contains(flag), "{}: {line}: no {flag}", document.display());
            }
            seen.insert(words[0].to_owned());
        }
    }
    assert!(seen.len() >= 8, "only {seen:?}");
}

#[test]
fn each_example_explains_itself() {
    for example in examples() {
        let readme = std::fs::read_to_string(example.join("README.md")).unwrap();
        let name = example.file_name().unwrap().to_str().unwrap();
        assert!(readme.starts_with("# ") && readme.contains(&format!("examples/{name}")), "{name}");
    }
}

#[test]
fn operations_name_each_setting_of_serve() {
    let text = std::fs::read_to_string(project("docs/operations.md")).unwrap();
    let help = serin(&["serve", "--help"]).good();
    let flags =
        help.split_whitespace().filter(|w| w.starts_with("--") && *w != "--help" && *w != "--version");
    for flag in flags.map(|f| f.trim_end_matches([',', ']'])) {
        assert!(text.contains(flag), "docs/operations.md does not explain {flag}");
    }
    for variable in help.split("[env: ").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap()) {
        assert!(text.contains(variable), "docs/operations.md does not explain {variable}");
    }
}

#[test]
fn operations_name_each_metric() {
    let text = std::fs::read_to_string(project("docs/operations.md")).unwrap();
    let code =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/metrics.rs")).unwrap();
    for name in code.split("registry.register(\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(text.contains(&format!("`serin_{name}")), "docs/operations.md does not explain serin_{name}");
    }
}

/// The flags of a command and of those below it, each with the first command that has it.
fn flags(command: &[&str], found: &mut std::collections::BTreeMap<String, String>) {
    let help = serin(&[command, &["--help"]].concat()).good();
    for line in help.lines() {
        let flag = line.split_whitespace().find(|word| word.starts_with("--"));
        let is_heading = line.starts_with("  ") && line.trim_start().starts_with('-');
        if let Some(flag) = flag.filter(|flag| is_heading && !["--help", "--version"].contains(flag)) {
            found.entry(flag.trim_end_matches(',').to_owned()).or_insert_with(|| command.join(" "));
        }
    }
    let commands = help.split("\nCommands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap();
    for name in commands.lines().filter(|l| !l.starts_with("   ")).filter_map(|l| l.split_whitespace().next())
    {
        if name != "help" {
            flags(&[command, &[name]].concat(), found);
        }
    }
}

#[test]
fn each_flag_of_each_command_is_in_a_document() {
    let text: String = documents().iter().map(|d| std::fs::read_to_string(d).unwrap()).collect();
    let mut found = std::collections::BTreeMap::new();
    flags(&[], &mut found);
    assert!(found.len() > 40, "only {found:?}");
    let missing: Vec<_> = found.iter().filter(|(flag, _)| !text.contains(*flag)).collect();
    assert!(missing.is_empty(), "no document says what these are for: {missing:?}");
}
