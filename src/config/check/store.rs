//! Where the store is: a file of `SQLite`, or a database of `PostgreSQL` by the URL that libpq takes as well, with those
//! of its parameters that Serin has (`sslmode`, `sslrootcert`), `passwordFile`, and `cache`.

use super::Wrong;
use crate::config::{resolve, spelling};
use crate::diag::Code;
use crate::model::{Database, DatabaseTls, Endpoint, StoreAt};
use std::path::Path;

/// The parameters of the URL.
const PARAMETERS: [&str; 5] = ["sslmode", "sslrootcert", "passwordFile", "cache", "target_session_attrs"];
/// So many hosts can be named: each of them is asked in the time that one may take.
const MOST_HOSTS: usize = 8;
/// The file of `cache`, unless it is said.
const CACHE: &str = "serin-cache.db";

/// Where the store is, relative to a file.
pub(super) fn store(text: &str, file: &Path) -> Result<StoreAt, (Code, Wrong)> {
    const FORM: &str = "write `sqlite:` and the path of a file, as in `sqlite:/var/lib/serin/serin.db`, or the URL of a \
                        database, as in `postgres://serin@db.example.com/serin`";
    let shown = spelling::shorten(text);
    let wrong = |message: String| Err((Code::Store, Wrong::new(message, FORM)));
    match text.split_once(':') {
        Some(("sqlite", path)) if path.starts_with("//") => {
            wrong(format!("`{shown}` is a URL, where a plain path belongs"))
        }
        Some(("sqlite", path)) if path.is_empty() || path.ends_with('/') => {
            wrong(format!("`{shown}` names no file"))
        }
        Some(("sqlite", path)) => Ok(StoreAt::Sqlite(resolve(file, path))),
        Some(("postgres" | "postgresql", _)) => postgres(text, file).map(StoreAt::Postgres),
        _ => wrong(format!("`{shown}` is not a kind of store that this version has")),
    }
}

/// Where the store is, relative to the current folder; or what is wrong and what to do.
pub(crate) fn store_at(text: &str) -> Result<StoreAt, String> {
    store(text, Path::new("")).map_err(|(_, wrong)| format!("{}; {}", wrong.message, wrong.help))
}

/// None of its complaints holds the text, which may hold a password.
fn postgres(text: &str, file: &Path) -> Result<Database, (Code, Wrong)> {
    const FORM: &str =
        "write `postgres://user@host:port/database`, as in `postgres://serin@db.example.com/serin`";
    let wrong = |message: &str, help: &str| (Code::Store, Wrong::new(message, help));
    // Several hosts are no URL, so each is read as one.
    let texts = each_host(text);
    let urls: Result<Vec<url::Url>, _> = texts.iter().map(|text| url::Url::parse(text)).collect();
    let urls = urls.map_err(|e| wrong(&format!("the URL of the database is none: {e}"), FORM))?;
    let [url, ..] = &urls[..] else { return Err(wrong("the URL of the database names no host", FORM)) };
    if url.password().is_some() {
        let message =
            "the password of the database stands in the URL, where everybody sees it who sees the settings";
        let help = "write it into a file for Serin alone, and name that with `?passwordFile=secrets/db`";
        return Err((Code::StorePassword, Wrong::new(message, help)));
    }
    let is_plain = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    let plain = |name: &str, what: &str| {
        if is_plain(name) {
            Ok(name.to_owned())
        } else {
            Err(wrong(
                &format!("the URL of the database names no {what}, or one with special characters"),
                FORM,
            ))
        }
    };
    let host = |url: &url::Url| Endpoint {
        host: url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(5432),
    };
    let hosts: Vec<Endpoint> = urls.iter().map(host).collect();
    if hosts.iter().any(|at| at.host.is_empty()) || url.fragment().is_some() {
        return Err(wrong("the URL of the database names no host, or has a `#`", FORM));
    }
    if hosts.len() > MOST_HOSTS {
        return Err(wrong(
            "the URL of the database names more than 8 hosts",
            "name those that may be the primary",
        ));
    }
    let (mut password_file, mut cache) = (None, resolve(file, CACHE));
    let (mut mode, mut root_file) = (None, None);
    for (key, value) in url.query_pairs() {
        match &*key {
            "sslmode" => mode = Some(value.into_owned()),
            "sslrootcert" if !value.is_empty() => root_file = Some(resolve(file, &value)),
            "passwordFile" if !value.is_empty() => password_file = Some(resolve(file, &value)),
            "target_session_attrs" if matches!(&*value, "read-write" | "primary") => {}
            "target_session_attrs" => {
                let message =
                    "`target_session_attrs` is `read-write`: Serin goes to the server that can be written";
                return Err(wrong(message, "leave it out"));
            }
            "cache" if !value.is_empty() && !value.ends_with('/') => cache = resolve(file, &value),
            key if PARAMETERS.contains(&key) => {
                return Err(wrong(&format!("the parameter `{key}` of the URL names no file"), "name a file"));
            }
            key => {
                let known = spelling::nearest(key, PARAMETERS.into_iter());
                let help = known.map_or_else(
                    || format!("the parameters are `{}`", PARAMETERS.join("`, `")),
                    |known| format!("did you mean `{known}`?"),
                );
                let message = format!(
                    "the URL of the database has a parameter `{}`, which Serin does not have",
                    spelling::shorten(key)
                );
                return Err(wrong(&message, &help));
            }
        }
    }
    let is_tls = match mode.as_deref() {
        None => !hosts.iter().all(|at| is_loopback(&at.host)),
        Some("disable") => false,
        Some("verify-full") => true,
        Some(other) => {
            let message = format!(
                "`sslmode={}` is not safe from whoever is on the way, or is no mode",
                spelling::shorten(other)
            );
            let help =
                "write `verify-full`, with `sslrootcert` where an authority of your own signs; or `disable`";
            return Err(wrong(&message, help));
        }
    };
    if !is_tls && root_file.is_some() {
        let message = "`sslrootcert` has no effect without TLS";
        return Err(wrong(message, "write `sslmode=verify-full`, or leave out `sslrootcert`"));
    }
    Ok(Database {
        user: plain(url.username(), "user")?,
        name: plain(url.path().trim_start_matches('/'), "database")?,
        tls: is_tls.then_some(DatabaseTls { root_file }),
        hosts,
        password_file,
        cache: Some(cache),
    })
}

/// The same URL with one of its hosts each.
fn each_host(text: &str) -> Vec<String> {
    let Some((scheme, rest)) = text.split_once("://") else { return vec![text.to_owned()] };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let at = if authority.contains('@') { "@" } else { "" };
    hosts.split(',').map(|host| format!("{scheme}://{user}{at}{host}{rest}")).collect()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn read(text: &str) -> Result<Database, String> {
        match store(text, Path::new("etc/serin.yaml")) {
            Ok(StoreAt::Postgres(database)) => Ok(database),
            Ok(other) => panic!("{other:?}"),
            Err((_, wrong)) => Err(wrong.message),
        }
    }

    #[test]
    fn a_database_is_read_with_safe_defaults() {
        let far = read("postgres://serin@db.example.com/serin?passwordFile=secrets/db&sslrootcert=/ca.pem")
            .unwrap();
        assert_eq!(far.to_string(), "postgres://serin@db.example.com:5432/serin");
        assert_eq!(far.password_file, Some(PathBuf::from("etc/secrets/db")));
        assert_eq!(far.tls, Some(DatabaseTls { root_file: Some("/ca.pem".into()) }));
        assert_eq!(far.cache, Some(PathBuf::from("etc/serin-cache.db")));
        let said = read("postgres://serin@localhost/x?cache=/var/lib/serin/cache.db").unwrap();
        assert_eq!(said.cache, Some(PathBuf::from("/var/lib/serin/cache.db")));
        let near = read("postgresql://serin@[::1]:6000/x?").unwrap();
        assert_eq!((near.to_string().as_str(), &near.tls), ("postgres://serin@[::1]:6000/x", &None));
        assert!(read("postgres://serin@localhost/x?sslmode=verify-full").unwrap().tls.is_some());
        let several =
            read("postgres://serin@db-1,[fd00::2]:6000,db-3:7/x?target_session_attrs=read-write").unwrap();
        assert_eq!(several.to_string(), "postgres://serin@db-1:5432,[fd00::2]:6000,db-3:7/x");
        assert!(several.tls.is_some() && read("postgres://serin@127.0.0.1:1,db/x").unwrap().tls.is_some());
        assert!(read("postgres://serin@127.0.0.1:1,localhost/x").unwrap().tls.is_none());
        assert!(read("postgres://serin@db/x?sslmode=disable").unwrap().tls.is_none());
    }

    #[test]
    fn what_is_not_had_is_refused_and_a_password_is_never_shown() {
        for (text, part) in [
            ("postgres://serin:sesame@db/x", "the password of the database stands in the URL"),
            ("postgres://serin:sesame@:x", "is none"),
            ("postgres://db/x", "no user"),
            ("postgres://serin@db", "no database"),
            ("postgres://serin@db/x/y", "no database"),
            ("postgres:serin", "no host"),
            ("postgres://serin@a,/x", "is none: empty host"),
            ("postgres://serin@a,b:c/x", "is none"),
            ("postgres://serin:sesame@a,b/x", "the password of the database stands in the URL"),
            ("postgres://serin@1,2,3,4,5,6,7,8,9/x", "more than 8 hosts"),
            ("postgres://serin@a/x?target_session_attrs=any", "`target_session_attrs` is `read-write`"),
            ("postgres://serin@db/x?sslmode=require", "`sslmode=require` is not safe"),
            ("postgres://serin@db/x?password=sesame", "a parameter `password`"),
            ("postgres://serin@db/x?passwordFile=", "names no file"),
            ("postgres://serin@db/x?cache=var/", "`cache` of the URL names no file"),
            ("postgres://serin@localhost/x?sslrootcert=ca.pem", "no effect without TLS"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(part) && !said.contains("sesame"), "{text}: {said}");
        }
    }
}
