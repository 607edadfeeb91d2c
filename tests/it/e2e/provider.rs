//! A provider of OpenID Connect that others wrote: `oidc-provider-mock` for Python, in a process of its own. And a browser,
//! as far as redirects and cookies go.
//!
//! It is installed once, with all it needs in fixed versions, into the cache where the Envoy of these tests lies too. All
//! it takes is Python 3 with pip.

use crate::real::DEADLINE;
use reqwest::cookie::{CookieStore, Jar};
use reqwest::{Client, Response, header};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

/// The package and what it needs.
const REQUIREMENTS: &str = include_str!("provider-requirements.txt");

/// A provider that runs. Dropping it ends it.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    _process: Child,
}

/// What a provider knows of a gateway.
pub(crate) struct Registered {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Provider {
    /// On this port, for clients that are registered only.
    pub(crate) async fn start(port: u16) -> Self {
        let mut command = python_with_package().await;
        command.args(["oidc_provider_mock", "--require-registration", "--port", &port.to_string()]);
        command.args(["--user-claims", r#"{"sub":"alice","email":"alice@example.com"}"#]);
        let client = Client::new();
        Self::run(command, format!("http://127.0.0.1:{port}"), &client).await
    }

    /// With TLS, by the certificate and key in these files. It takes any client with any secret.
    pub(crate) async fn start_tls(port: u16, certificate: &Path, key: &Path, client: &Client) -> Self {
        let mut command = python_with_package().await;
        command.args(["uvicorn", "--factory", "oidc_provider_mock:app", "--interface", "wsgi"]);
        command.args(["--port", &port.to_string(), "--ssl-certfile"]).arg(certificate);
        command.arg("--ssl-keyfile").arg(key);
        Self::run(command, format!("https://localhost:{port}"), client).await
    }

    async fn run(mut command: Command, issuer: String, client: &Client) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let provider = Self { issuer, _process: process };
        let answers = async {
            while client.get(format!("{}/jwks", provider.issuer)).send().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(DEADLINE, answers).await.expect("the provider answers");
        provider
    }

    /// Makes a gateway known that people are sent back to at this URL.
    pub(crate) async fn register(&self, callback: &str) -> Registered {
        let wish = json!({ "redirect_uris": [callback] });
        let url = format!("{}/oauth2/clients", self.issuer);
        let answer = Client::new().post(url).json(&wish).send().await.unwrap();
        let made: Value = answer.error_for_status().unwrap().json().await.unwrap();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        Registered { id: text("client_id"), secret: text("client_secret") }
    }

    /// A token that says who `alice` is to a client, as a program would get it: a code for a token, without a gateway.
    pub(crate) async fn id_token(&self, client: &Registered, callback: &str) -> String {
        let bare = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let ask = format!(
            "{}/oauth2/authorize?response_type=code&scope=openid%20email&client_id={}&redirect_uri={callback}",
            self.issuer, client.id
        );
        let answer = form(bare.post(ask), "sub=alice").send().await.unwrap();
        let back = reqwest::Url::parse(answer.headers()[header::LOCATION].to_str().unwrap()).unwrap();
        let code = back.query_pairs().find(|(key, _)| key == "code").unwrap().1.into_owned();
        let wish = format!("grant_type=authorization_code&code={code}&redirect_uri={callback}");
        let ask = bare.post(format!("{}/oauth2/token", self.issuer));
        let answer = form(ask.basic_auth(&client.id, Some(&client.secret)), &wish).send().await.unwrap();
        let said: Value = answer.error_for_status().unwrap().json().await.unwrap();
        said["id_token"].as_str().unwrap().to_owned()
    }
}

/// What a browser does with redirects and cookies.
pub(crate) struct Browser {
    client: Client,
    jar: Arc<Jar>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::with(Client::builder())
    }

    /// One that trusts this authority, in PEM.
    pub(crate) fn trusting(authority: &str) -> Self {
        let authority = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
        Self::with(Client::builder().tls_certs_only([authority]))
    }

    fn with(builder: reqwest::ClientBuilder) -> Self {
        let mut headers = header::HeaderMap::new();
        let accept = header::HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8");
        headers.insert(header::ACCEPT, accept);
        let jar = Arc::new(Jar::default());
        let client = builder.cookie_provider(Arc::clone(&jar)).default_headers(headers);
        Self { client: client.timeout(DEADLINE).build().unwrap(), jar }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn get(&self, url: &str) -> reqwest::RequestBuilder {
        self.client.get(url)
    }

    /// A request without cookies, accepted forms and redirects of its own.
    pub(crate) async fn bare(&self, url: &str, headers: &[(&str, &str)]) -> Response {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let ask = headers.iter().fold(client.get(url), |ask, (name, value)| ask.header(*name, *value));
        ask.timeout(DEADLINE).send().await.unwrap()
    }

    /// Asks for a page, logs in where it is sent to, and comes back.
    pub(crate) async fn log_in(&self, page: &str) -> Response {
        let asked = self.get(page).send().await.unwrap();
        let url = asked.url().clone();
        assert_eq!((asked.status().as_u16(), url.path()), (200, "/oauth2/authorize"), "{url}");
        form(self.client.post(url), "sub=alice").send().await.unwrap()
    }

    /// What it would send along.
    pub(crate) fn cookies(&self, url: &str) -> String {
        let cookies = self.jar.cookies(&url.parse().unwrap()).expect("there are cookies");
        cookies.to_str().unwrap().to_owned()
    }

    pub(crate) fn add_cookie(&self, cookie: &str, url: &str) {
        self.jar.add_cookie_str(cookie, &url.parse().unwrap());
    }
}

fn form(ask: reqwest::RequestBuilder, text: &str) -> reqwest::RequestBuilder {
    ask.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(text.to_owned())
}

/// Python that is about to run a module.
async fn python_with_package() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", installed().await).env("AUTHLIB_INSECURE_TRANSPORT", "1");
    command.stdin(Stdio::null()).kill_on_drop(true).args(["-W", "ignore", "-m"]);
    command
}

/// The folder with the package; installs it when it is not there.
async fn installed() -> &'static Path {
    static FOLDER: OnceCell<PathBuf> = OnceCell::const_new();
    FOLDER.get_or_init(install).await
}

async fn install() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME")
        .or_else(|| Some(variable("HOME")?.join(".cache")))
        .expect("HOME or XDG_CACHE_HOME says where the cache is");
    // Compiled parts are for one version of Python.
    let tag = python(&["-c", "import sys; print(sys.implementation.cache_tag)"]).await;
    let version = REQUIREMENTS.lines().find_map(|l| l.strip_prefix("oidc-provider-mock==")).unwrap();
    let home = cache.join("serin");
    let folder = home.join(format!("oidc-provider-mock-{version}-{}", tag.trim()));
    if folder.is_dir() {
        return folder;
    }
    std::fs::create_dir_all(&home).unwrap();
    let work = tempfile::Builder::new().prefix(".install-").tempdir_in(&home).unwrap();
    let (list, packages) = (work.path().join("requirements.txt"), work.path().join("packages"));
    std::fs::write(&list, REQUIREMENTS).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let quiet = ["--disable-pip-version-check", "--no-input", "--quiet", "--only-binary=:all:", "--no-deps"];
    let pip = [&["-m", "pip", "install"], &quiet[..]].concat();
    python(&[&pip[..], &["--target", &path(&packages), "-r", &path(&list)]].concat()).await;
    // Somebody else may have been faster; theirs is as good.
    if let Err(error) = std::fs::rename(&packages, &folder) {
        assert!(folder.is_dir(), "{}: {error}", folder.display());
    }
    folder
}

async fn python(arguments: &[&str]) -> String {
    let run = Command::new("python3").args(arguments).stdin(Stdio::null()).output().await;
    let run = run.expect("these tests want Python 3 for a provider of logins");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "python3 {}: {said}", arguments.join(" "));
    String::from_utf8(run.stdout).unwrap()
}
