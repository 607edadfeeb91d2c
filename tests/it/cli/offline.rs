//! Commands that need no server and write nothing.

use super::{directory, finish, rights, serin, serin_in, without_rights};
use serde_json::Value;

const FRAUD: &str = "apiVersion: serin/v1
name: fraud
upstreams: { v1: http://fraud-v1:8080, v2: http://fraud-v2:8080 }
traffic: { v1: 95, v2: 5 }
";

#[test]
fn validate_shows_all_problems_of_all_files_at_once() {
    let wrong_sum = FRAUD.replace("v2: 5", "v2: 6");
    let two_mistakes = FRAUD.replace("name: fraud", "name: Iris\ntimout: 5s");
    let files = [("a.yaml", FRAUD), ("b.yaml", &*wrong_sum), ("team/c.yml", &*two_mistakes)];
    let folder = directory(&files);
    let said = serin_in(folder.path(), &["validate", "."]).fails(1);
    for place in ["./b.yaml:4:10", "./team/c.yml:2:7", "./team/c.yml:3:1"] {
        assert!(said.contains(place), "{place} is not in\n{said}");
    }
    assert!(said.contains("did you mean `timeout`?") && said.ends_with("\n3 errors\n"), "{said}");
}

#[test]
fn validate_speaks_json_to_editors() {
    let folder = directory(&[("a.yaml", &FRAUD.replace("v2: 5", "v2: 6"))]);
    let run = serin_in(folder.path(), &["validate", "a.yaml", "-o", "json"]);
    assert_eq!((run.code, run.err.as_str()), (1, ""));
    let problems: Value = serde_json::from_str(&run.out).unwrap();
    let problem = &problems[0];
    assert_eq!(problems.as_array().unwrap().len(), 1);
    for (key, value) in [("severity", "error"), ("code", "T001"), ("file", "./a.yaml")] {
        assert_eq!(problem[key], value);
    }
    for (key, value) in [("line", 4), ("column", 10)] {
        assert_eq!(problem[key], value);
    }
    assert!(problem["message"].is_string() && problem["help"].is_string());

    let folder = directory(&[("a.yaml", FRAUD)]);
    assert_eq!(serin_in(folder.path(), &["validate", ".", "-o", "json"]).good(), "[]\n");
}

#[test]
fn validate_says_when_all_is_well_and_reads_settings_too() {
    let settings = "listeners: { edge: { port: 8443 } }\n";
    let gateway = format!("{FRAUD}listener: edge\n");
    let folder = directory(&[("serin.yaml", settings), ("gateways/a.yaml", &gateway)]);
    let run = serin_in(folder.path(), &["validate", "serin.yaml", "gateways"]);
    assert_eq!((run.code, run.err.as_str()), (0, "2 files: no problems\n"));
    let elsewhere = directory(&[("a.yaml", &gateway)]);
    assert!(serin_in(elsewhere.path(), &["validate", "a.yaml"]).fails(1).contains("listener"));
}

#[test]
fn what_cannot_be_listed_is_not_empty() {
    let folder =
        directory(&[("here/a.yaml", FRAUD), ("here/b.yaml", "name: b\n"), ("here/team/c.yaml", FRAUD)]);
    let path = |name: &str| folder.path().join(name);
    rights(folder.path(), 0o755);
    let run = |arguments: &[&str]| finish(without_rights(folder.path(), folder.path(), arguments));
    // A directory below is closed: all that can be said of the others is said as well.
    rights(&path("here/team"), 0o300);
    let said = run(&["validate", "here"]).fails(1);
    for words in [
        "error[F001]: this directory cannot be listed: permission denied",
        "here/team",
        "= help: let the user that runs this read and search it",
        "`upstreams` is missing",
    ] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    // All of it.
    rights(&path("here"), 0o300);
    let said = run(&["validate", "here"]).fails(1);
    assert!(said.contains("--> here\n") && said.ends_with("\n1 error\n"), "{said}");
    let json = run(&["validate", "here", "-o", "json"]);
    let problems: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &problems[0]["code"], &problems[0]["file"]), (1, &"F001".into(), &"here".into()));
    // Nothing is gone because it is not seen, and nothing is edited beside what is not seen.
    for arguments in [
        &["diff", "here", "--against", "other"][..],
        &["diff", "other", "--against", "here"],
        &["set-weight", "fraud", "v2=25", "--gateways", "here"],
        &["promote", "fraud", "--to", "v2", "--gateways", "here"],
    ] {
        std::fs::create_dir_all(path("other")).unwrap();
        let said = run(arguments).fails(1);
        assert!(said.contains("this directory cannot be listed"), "{arguments:?}: {said}");
    }
    // What lies above it.
    rights(&path("here"), 0o600);
    let said = run(&["validate", "here/team"]).fails(1);
    assert!(said.contains("cannot look at here/team: Permission denied"), "{said}");
    rights(&path("here"), 0o755);
    rights(&path("here/team"), 0o755);
    assert!(run(&["validate", "here"]).fails(1).contains("here/team/c.yaml"));
}

#[test]
fn translate_takes_one_good_file() {
    let folder = directory(&[("a.yaml", FRAUD), ("b.yaml", "name: x\n")]);
    let text = serin_in(folder.path(), &["translate", "a.yaml"]).good();
    let heads: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# ")).collect();
    assert_eq!(heads, ["cluster fraud/v1", "cluster fraud/v2", "listener default", "route default"]);
    let bootstrap = serin_in(folder.path(), &["translate", "a.yaml", "--bootstrap"]).good();
    assert!(bootstrap.starts_with("static_resources:\n"), "{bootstrap}");
    assert!(serin_in(folder.path(), &["translate", "b.yaml"]).fails(1).contains("`upstreams` is missing"));
    assert!(serin_in(folder.path(), &["translate", "."]).fails(1).contains("is a directory"));
    assert!(serin_in(folder.path(), &["translate", "c.yaml"]).fails(1).contains("c.yaml"));
}

#[test]
fn diff_shows_a_change_of_weights_and_nothing_else() {
    let old =
        directory(&[("fraud.yaml", FRAUD), ("same.yaml", &FRAUD.replace("fraud\n", "same\npath: /same\n"))]);
    let new = directory(&[("moved.yaml", &FRAUD.replace("95, v2: 5 ", "75, v2: 25 "))]);
    std::fs::copy(old.path().join("same.yaml"), new.path().join("same.yaml")).unwrap();
    let (old, new) = (old.path().to_str().unwrap(), new.path().to_str().unwrap());
    let text = serin(&["diff", new, "--against", old]).good();
    assert_eq!(
        text,
        "gateway fraud: changed
@@ -76,6 +76,6 @@
       weighted_clusters:
         clusters:
         - name: fraud/v2
-          weight: 500
+          weight: 2500
         - name: fraud/v1
-          weight: 9500
+          weight: 7500
"
        .replace("76", &line_of_split(&text))
    );
    let run = serin(&["diff", old, "--against", old]);
    assert_eq!((run.code, &*run.out, &*run.err), (0, "", "nothing would change at Envoy\n"));
}

/// The number of the line is that of the whole text of resources, which other changes may move.
fn line_of_split(text: &str) -> String {
    let head = text.lines().nth(1).and_then(|l| l.strip_prefix("@@ -")).unwrap_or_default();
    head.split(',').next().unwrap_or_default().to_owned()
}

#[test]
fn diff_tells_new_from_removed_and_from_broken() {
    let old = directory(&[("fraud.yaml", FRAUD)]);
    let new = directory(&[("iris.yaml", &FRAUD.replace("fraud\n", "iris\n"))]);
    let broken = directory(&[("fraud.yaml", &FRAUD.replace("95", "96"))]);
    let [old, new, broken] = [&old, &new, &broken].map(|d| d.path().to_str().unwrap());
    let text = serin(&["diff", new, "--against", old]).good();
    let heads: Vec<&str> = text.lines().filter(|l| l.starts_with("gateway ")).collect();
    assert_eq!(heads, ["gateway fraud: removed", "gateway iris: new"]);
    // A broken file changes nothing that is served.
    let said = serin(&["diff", broken, "--against", old]).fails(1);
    assert!(said.contains("T001") && said.contains("nothing would change"), "{said}");
}

#[test]
fn bootstrap_prints_what_envoy_starts_with() {
    let text = serin(&["bootstrap", "--id", "edge-7", "--cluster", "lab"]).good();
    assert!(text.contains("id: edge-7") && text.contains("cluster: lab"), "{text}");
    serin(&["bootstrap", "--xds", "nowhere"]).fails(1);
}

#[test]
fn settings_of_a_named_file_are_found_in_its_folder_or_the_one_above() {
    let gateway = format!("{FRAUD}listener: edge\n");
    for settings in ["serin.yaml", "gateways/serin.yaml"] {
        let folder = directory(&[
            ("deployment/gateways/a.yaml", gateway.as_str()),
            (&format!("deployment/{settings}"), "listeners: { edge: { port: 8443 } }\n"),
        ]);
        let said = format!("with the settings of deployment/{settings}\n");
        let run = serin_in(folder.path(), &["validate", "deployment/gateways/a.yaml"]);
        assert_eq!((run.code, run.err), (0, format!("{said}1 file: no problems\n")));
        let run = serin_in(folder.path(), &["validate", "deployment/gateways"]);
        assert_eq!((run.code, run.err), (0, format!("{said}1 file: no problems\n")));
        for command in [
            &["translate", "deployment/gateways/a.yaml"][..],
            &["diff", "deployment/gateways", "--against", "deployment/gateways"],
        ] {
            let run = serin_in(folder.path(), command);
            assert!(run.code == 0 && run.err.starts_with(&said), "{command:?}: {} {}", run.code, run.err);
        }
        // In the folder itself, and where settings are named.
        let run = serin_in(&folder.path().join("deployment/gateways"), &["validate", "a.yaml"]);
        assert_eq!((run.code, run.err.lines().count()), (0, if settings == "serin.yaml" { 2 } else { 1 }));
        std::fs::write(folder.path().join("other.yaml"), "").unwrap();
        let named = ["validate", "-c", "other.yaml", "deployment/gateways/a.yaml"];
        assert!(serin_in(folder.path(), &named).fails(1).contains("listener"));
        // Settings that are broken are not passed over.
        std::fs::write(folder.path().join("deployment").join(settings), "listners: {}\n").unwrap();
        let said = serin_in(folder.path(), &["validate", "deployment/gateways/a.yaml"]).fails(1);
        assert!(said.contains(&format!("deployment/{settings}:1:1")) && said.contains("listeners"), "{said}");
    }
}

#[test]
fn examples_with_settings_are_valid_from_anywhere() {
    let mut seen = 0;
    for example in crate::examples::examples().iter().filter(|e| e.join("serin.yaml").exists()) {
        let run = serin_in(std::path::Path::new("/"), &["validate", example.to_str().unwrap()]);
        assert_eq!(run.code, 0, "{}: {}", example.display(), run.err);
        seen += 1;
    }
    assert!(seen >= 4);
}

#[test]
fn up_without_a_directory_and_settings_says_what_to_name() {
    let folder = directory(&[]);
    let said = serin_in(folder.path(), &["up"]).fails(1);
    assert!(said.contains("serin up gateways") && said.contains("-c serin.yaml"), "{said}");
    let folder = directory(&[("deployment/serin.yaml", "gateways: models\n")]);
    let said = serin_in(folder.path(), &["up", "-c", "deployment/serin.yaml"]).fails(1);
    assert!(said.contains("deployment/models is not a directory"), "{said}");
}

#[test]
fn validate_shows_errors_of_all_paths_beside_settings_that_are_broken() {
    let folder = directory(&[
        ("one/c.yaml", &FRAUD.replace("v2: 5", "v2: 6")),
        ("two/serin.yaml", "routng: plain\n"),
        ("two/gateways/d.yaml", FRAUD),
    ]);
    let said = serin_in(folder.path(), &["validate", "one/c.yaml", "two/gateways/d.yaml"]).fails(1);
    assert!(said.contains("one/c.yaml:4:10") && said.contains("two/serin.yaml:1:1"), "{said}");
    std::fs::remove_file(folder.path().join("two/serin.yaml")).unwrap();
    std::os::unix::fs::symlink("/nowhere", folder.path().join("two/serin.yaml")).unwrap();
    let said = serin_in(folder.path(), &["validate", "two/gateways/d.yaml"]).fails(1);
    assert!(said.contains("two/serin.yaml"), "{said}");
}
