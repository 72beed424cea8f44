use std::collections::BTreeMap;
use std::io::Write;

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    cluster: Cluster,
    labels: BTreeMap<String, String>,
    threads: Option<u16>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Cluster {
    listen: String,
    control_planes: Vec<String>,
    url: Option<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { listen: "0.0.0.0:8005".into(), control_planes: vec![], url: None }
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Loaded<Raw>, String> {
    let file = file(text);
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    load_with(Some(file.path()), variables)
        .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
}

#[test]
fn each_place_wins_over_the_one_before() {
    let file = file("[cluster]\nlisten = \"a:1\"\ncontrol_planes = [\"x:1\"]\n\n[labels]\nzone = \"a\"\n");
    let variables = [("GIBBON_CLUSTER__LISTEN", "b:2"), ("GIBBON_LABELS__RACK", "r7"), ("PATH", "/bin")];
    let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned()));
    let loaded: Loaded<Raw> = load_with(Some(file.path()), variables).unwrap();

    assert_eq!(loaded.raw.cluster.listen, "b:2");
    assert_eq!(loaded.raw.cluster.control_planes, ["x:1"]);
    assert_eq!(loaded.raw.labels.len(), 2);
    assert_eq!(loaded.raw.threads, None);

    let at = |line| Origin::File { path: file.path().to_owned(), line: Some(line) };
    assert_eq!(loaded.origin("cluster.listen"), Origin::Env("GIBBON_CLUSTER__LISTEN".into()));
    assert_eq!(loaded.origin("cluster.control_planes"), at(3));
    assert_eq!(loaded.origin("labels.zone"), at(6));
    assert_eq!(loaded.origin("threads"), Origin::Default);
}

#[test]
fn a_variable_is_read_as_the_default_suggests() {
    let read = |name: &str, text: &str| load_text("", &[(name, text)]).map(|loaded| loaded.raw);
    let list = |text| read("GIBBON_CLUSTER__CONTROL_PLANES", text).unwrap().cluster.control_planes;
    assert_eq!(list("a:1"), ["a:1"]);
    assert_eq!(list("a:1, b:2"), ["a:1", "b:2"]);
    assert_eq!(list(r#"["a:1", "b:2"]"#), ["a:1", "b:2"]);
    assert_eq!(read("GIBBON_CLUSTER__LISTEN", "8005").unwrap().cluster.listen, "8005");
    assert_eq!(read("GIBBON_THREADS", "4").unwrap().threads, Some(4));
    assert!(read("GIBBON_TEST_ANYTHING", "4").is_ok());
}

#[test]
fn errors_name_key_value_and_origin() {
    for (text, variables, expected) in [
        (
            "[cluster]\nlisten = \"a\"\nlisen = 1\n",
            &[][..],
            "cluster.lisen (FILE:3): there is no such key; the keys here are listen, control_planes, url",
        ),
        (
            "",
            &[("GIBBON_CLUSTER__LISEN", "x")],
            "cluster.lisen (env GIBBON_CLUSTER__LISEN): there is no such key",
        ),
        ("", &[("GIBBON_NONSENSE", "x")], "nonsense (env GIBBON_NONSENSE): there is no such key"),
        ("\nthreads = \"two\"\n", &[], "threads = \"two\" (FILE:2): must be a whole number that fits u16"),
        ("threads = 70000", &[], "threads = 70000 (FILE:1): must be a whole number that fits u16"),
        (
            "",
            &[("GIBBON_THREADS", "-1")],
            "threads = -1 (env GIBBON_THREADS): must be a whole number that fits u16",
        ),
        ("cluster = 5", &[], "cluster = 5 (FILE:1): must be a table"),
        ("", &[("GIBBON_CLUSTER", "5")], "cluster = 5 (env GIBBON_CLUSTER): must be a table"),
        (
            "[cluster]\ncontrol_planes = [\"a\", 5]",
            &[],
            "cluster.control_planes.1 = 5 (FILE:2): must be a string",
        ),
        (
            "[cluster]\nurl = [\"a://b:secret@c\"]",
            &[],
            "cluster.url = [\"a://b:***@c\"] (FILE:2): must be a string",
        ),
        ("[cluster]\nurl = \"a://b:secret@c\nx", &[], "the configuration file FILE: line 2: "),
    ] {
        let error = load_text(text, variables).unwrap_err();
        assert!(error.contains(expected), "{error}\ndoes not contain\n{expected}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_missing_file_is_said_to_be_missing() {
    let error = load::<Raw>(Some(Path::new("/nonexistent/gibbon.toml"))).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/gibbon.toml") && error.contains("No such file"), "{error}");
}

#[test]
fn a_violation_carries_the_origin() {
    let loaded = load_text("", &[("GIBBON_CLUSTER__URL", "postgres://a:secret@b")]).unwrap();
    let error = loaded.violation("cluster.url", loaded.raw.cluster.url.as_deref().unwrap(), "no database");
    assert_eq!(
        error.to_string(),
        "bad configuration: cluster.url = postgres://a:***@b (env GIBBON_CLUSTER__URL): no database"
    );
}

#[test]
fn the_effective_configuration_can_be_read_again() {
    let loaded =
        load_text("[cluster]\nurl = \"a://b:secret@c\"\n", &[("GIBBON_LABELS__ZONE", "a b")]).unwrap();
    let printed = loaded.print_effective();
    assert!(printed.contains("cluster.listen = \"0.0.0.0:8005\"  # default\n"), "{printed}");
    assert!(printed.contains("labels.zone = \"a b\"  # env GIBBON_LABELS__ZONE\n"), "{printed}");
    assert!(printed.contains("# threads is not set\n"), "{printed}");
    assert!(printed.contains("cluster.url = \"a://b:***@c\"") && !printed.contains("secret"), "{printed}");
    assert_eq!(load_text(&printed, &[]).unwrap().raw.labels["zone"], "a b");
}
