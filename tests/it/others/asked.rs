//! What is asked about a canary: a real Prometheus that scrapes a toy exporter, and a webhook.

use super::{Manner, Other, nowhere};
use crate::e2e::pki::Authority;
use crate::e2e::stage::free_port;
use crate::prometheus::prometheus;
use crate::real::{DEADLINE, eventually};
use serin::clock::Timestamp;
use serin::control::{Answered, Event, Point, Question, Questions};
use serin::latest::Latest;
use serin::model::{Fact, Limits, MetricSource, Number, Pem, Provided, Query, QueryPart, Remote, Secret};
use serin::names::{GatewayName, UpstreamName};
use serin::provider;
use serin::rollout::Side;
use serin::weight::Weight;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A Prometheus of this test's own. It ends with it.
struct Server {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Scrapes a target ten times a second, and waits until it has something to say of it.
    async fn start(target: &Other) -> Self {
        Self::with(target, &[], None).await
    }

    /// With more flags, and who signs its certificate, if it has one.
    async fn with(target: &Other, flags: &[&str], authority: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{ scrape_interval: 100ms, scrape_timeout: 100ms }}\n\
             scrape_configs: [{{ job_name: toy, static_configs: [{{ targets: ['{}'] }}] }}]\n",
            target.address
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let child = Command::new(prometheus().await)
            .current_dir(folder.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port, _folder: folder };
        let scraped = async {
            let trusted = authority.map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()).unwrap());
            let scheme = if trusted.is_some() { "https" } else { "http" };
            let client = serin::client::builder().no_proxy();
            let client = match trusted {
                Some(trusted) => client.tls_certs_only([trusted]),
                None => client,
            };
            let client = client.build().unwrap();
            loop {
                let url = format!("{scheme}://localhost:{port}/api/v1/query?query=ttft");
                if let Ok(answer) = client.get(url).send().await
                    && answer.text().await.unwrap_or_default().contains("\"version\":\"2.0\"")
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(DEADLINE, scraped).await.expect("Prometheus scrapes nothing");
        server
    }

    fn remote(&self) -> Remote {
        remote(&format!("http://127.0.0.1:{}/", self.port))
    }
}

fn remote(url: &str) -> Remote {
    Remote { url: url.to_owned(), headers: Vec::new(), ca: None }
}

/// What the toy exporter says: the canary is 2.0 and takes twice as long.
fn exported() -> Manner {
    let text = "# TYPE ttft gauge\nttft{version=\"1.4\"} 1\nttft{version=\"2.0\"} 2\nttft{version=\"2x0\"} 9\n\
                # TYPE nothing gauge\nnothing{version=\"2.0\"} NaN\n";
    Manner::Says(200, text.to_owned())
}

/// `before"{{version}}"after`
fn query(before: &str, is_regex: bool, after: &str) -> Query {
    let text = |text: String| QueryPart::Text(text);
    let fact = QueryPart::Fact { fact: Fact::Version, quote: '"', is_regex };
    Query(vec![text(format!("{before}\"")), fact, text(format!("\"{after}"))])
}

fn limits(max: Option<f64>, max_increase: Option<&str>) -> Limits {
    let max_increase = max_increase.map(|text| Weight::parse(text).unwrap());
    Limits { max: max.and_then(Number::new), min: None, max_increase }
}

fn question(source: MetricSource, limits: Limits) -> Question {
    let side = |name: &str, version: &str| Side {
        name: UpstreamName::new(name).unwrap(),
        endpoints: vec![format!("{name}:80")],
        model: Some("fraud".to_owned()),
        version: Some(version.to_owned()),
    };
    let interval = Duration::from_millis(50);
    Question {
        gateway: GatewayName::new("fraud").unwrap(),
        metric: Provided { name: "ttft".into(), source, limits, interval, dry_run: false },
        canary: side("v2", "2.0"),
        primary: side("v1", "1.4"),
        began: Timestamp(1),
    }
}

/// The room, with one question.
struct Asking {
    events: mpsc::Receiver<Event>,
    questions: Arc<Latest<Questions>>,
    task: JoinSet<()>,
}

impl Asking {
    fn new(question: Question) -> Self {
        let (events_in, events) = mpsc::channel(100);
        let questions = Latest::new(Questions::new());
        let mut task = JoinSet::new();
        task.spawn(provider::run(questions.subscribe(), events_in));
        let key = (question.gateway.clone(), question.metric.name.clone());
        questions.publish([(key, Arc::new(question))].into());
        Self { events, questions, task }
    }

    /// The next answer.
    async fn next(&mut self) -> Result<Point, String> {
        match tokio::time::timeout(DEADLINE, self.events.recv()).await.expect("no answer").unwrap() {
            Event::Answered(Answered { answer, .. }) => answer,
            other => panic!("{other:?}"),
        }
    }

    async fn stop(mut self) {
        drop(self.questions);
        self.task.abort_all();
        while self.task.join_next().await.is_some() {}
    }
}

async fn answer(source: MetricSource, limits: Limits) -> Result<Point, String> {
    let mut asking = Asking::new(question(source, limits));
    let answer = asking.next().await;
    asking.stop().await;
    answer
}

#[tokio::test]
async fn prometheus_is_asked_about_each_version() {
    let exporter = Other::start(0, exported()).await;
    let server = Server::start(&exporter).await;
    let asked = |query| MetricSource::Prometheus { server: server.remote(), query };
    let ttft = || asked(query("max(ttft{version=", false, "})"));
    let good = Point { canary: Some(2.0), primary: None, badness: 0.0 };
    assert_eq!(answer(ttft(), limits(Some(2.0), None)).await, Ok(good));
    assert_eq!(answer(ttft(), limits(Some(1.9), None)).await, Ok(Point { badness: 1.0, ..good }));
    let compared = Point { primary: Some(1.0), ..good };
    assert_eq!(answer(ttft(), limits(None, Some("100"))).await, Ok(compared));
    let worse = Point { badness: 1.0, ..compared };
    assert_eq!(answer(ttft(), limits(None, Some("99"))).await, Ok(worse));
    // A version is itself and no pattern: 2x0 is another one.
    let pattern = asked(query("max(ttft{version=~", true, "})"));
    assert_eq!(answer(pattern, limits(Some(2.0), None)).await, Ok(good));
    for (query, why) in [
        (query("ttft{version!=", false, "}"), "2 series"),
        (query("ttft{version=", false, ",job=\"none\"}"), "no result"),
        (query("nothing{version=", false, "}"), "NaN"),
        (query("ttft{version=", false, "}[1m]"), "no number"),
        (query("ttft{version=", false, "} / 0"), "Inf"),
        (query("ttft{version=", false, "}} "), "parse error"),
    ] {
        let said = answer(asked(query.clone()), limits(Some(2.0), None)).await.unwrap_err();
        assert!(said.contains(why), "{query:?}: {said}");
    }
    drop(server);
    exporter.stop().await;
}

#[tokio::test]
async fn a_prometheus_that_goes_and_comes_is_asked_again() {
    let exporter = Other::start(0, exported()).await;
    let server = Server::start(&exporter).await;
    let source =
        MetricSource::Prometheus { server: server.remote(), query: query("ttft{version=", false, "}") };
    let mut asking = Asking::new(question(source, limits(Some(2.0), None)));
    assert!(asking.next().await.is_ok());
    drop(server);
    let mut last = asking.next().await;
    // Answers that were under way.
    while last.is_ok() {
        last = asking.next().await;
    }
    assert!(last.is_err());
    asking.stop().await;
    exporter.stop().await;
}

#[tokio::test]
async fn who_is_slow_down_or_endless_gives_no_data() {
    let slow = Other::start(0, Manner::IsSlow).await;
    let endless = Other::start(0, Manner::Says(200, "x".repeat(2 << 20))).await;
    let moved = Other::start(0, Manner::Says(302, String::new())).await;
    let down = format!("http://127.0.0.1:{}/", nowhere());
    let asked = |url: String| answer(MetricSource::Webhook(remote(&url)), limits(None, None));
    let (slow_said, endless_said, moved_said, down_said) =
        tokio::join!(asked(slow.url()), asked(endless.url()), asked(moved.url()), asked(down));
    assert_eq!(slow_said.unwrap_err(), "there was no answer within 10s");
    assert_eq!(endless_said.unwrap_err(), "the answer has more than 1048576 bytes");
    assert_eq!(moved_said.unwrap_err(), "the answer was 302");
    assert!(down_said.unwrap_err().contains("refused"));
    for other in [slow, endless, moved] {
        other.stop().await;
    }
}

#[tokio::test]
async fn a_webhook_is_told_whom_it_judges_and_gets_its_headers() {
    let mut other = Other::start(0, Manner::Says(200, "{ \"ok\": true }".to_owned())).await;
    let headers = vec![("authorization".to_owned(), Secret::new("Bearer abc"))];
    let server = Remote { headers, ..remote(&other.url()) };
    let mut asking = Asking::new(question(MetricSource::Webhook(server), limits(None, None)));
    assert_eq!(asking.next().await, Ok(Point { canary: None, primary: None, badness: 0.0 }));
    let (headers, body) = other.next().await;
    assert_eq!(headers["authorization"], "Bearer abc");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "gateway": "fraud", "metric": "ttft", "role": "canary", "upstream": "v2", "endpoints": ["v2:80"],
        "model": "fraud", "version": "2.0", "intervalSeconds": 0.05,
    });
    assert_eq!(body, expected);
    other.manner.send_replace(Manner::Says(200, "{ \"ok\": false, \"value\": 3 }".to_owned()));
    let mut last = asking.next().await.unwrap();
    while last.canary.is_none() {
        last = asking.next().await.unwrap();
    }
    assert_eq!(last, Point { canary: Some(3.0), primary: None, badness: 1.0 });
    other.manner.send_replace(Manner::Says(500, String::new()));
    let mut said = asking.next().await;
    while said.is_ok() {
        said = asking.next().await;
    }
    assert_eq!(said.unwrap_err(), "the answer was 500");
    asking.stop().await;
    eventually("requests were counted", || !other.requests.is_empty()).await;
    other.stop().await;
}

#[tokio::test]
async fn the_certificate_of_a_server_is_one_that_its_file_trusts() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    authority.server(&["localhost"]).write(folder.path(), "server");
    let config = format!(
        "tls_server_config: {{ cert_file: {0}/server.pem, key_file: {0}/server.key }}\n",
        folder.path().display()
    );
    let web = folder.path().join("web.yml");
    std::fs::write(&web, config).unwrap();
    let exporter = Other::start(0, exported()).await;
    let server =
        Server::with(&exporter, &["--web.config.file", web.to_str().unwrap()], Some(&authority.pem)).await;
    let url = format!("https://localhost:{}/", server.port);
    let ttft = |ca: Option<&str>| {
        let server = Remote { ca: ca.map(|pem| Pem::new(pem.as_bytes())), ..remote(&url) };
        MetricSource::Prometheus { server, query: query("max(ttft{version=", false, "})") }
    };
    let good = Point { canary: Some(2.0), primary: None, badness: 0.0 };
    assert_eq!(answer(ttft(Some(&authority.pem)), limits(Some(2.0), None)).await, Ok(good));
    // Neither this machine nor another authority knows it.
    for ca in [None, Some(Authority::new().pem)] {
        let said = answer(ttft(ca.as_deref()), limits(Some(2.0), None)).await.unwrap_err();
        assert!(said.contains("certificate"), "{said}");
    }
    drop(server);
    exporter.stop().await;
}
