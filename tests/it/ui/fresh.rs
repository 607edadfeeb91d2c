//! The page of a gateway shows the file as it is, and changes the version that it shows.

use super::url;
use crate::e2e::chromium::Chromium;
use crate::e2e::stage::{free_port, settings};
use crate::protocol::client::{folder, gateway, write};
use serin::app::{App, Options};

#[tokio::test]
async fn an_edit_of_anything_in_the_file_is_shown() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let settings = settings(folder.path(), free_port(), None);
    let app = App::start(settings, Options { insecure_admin: true, ..Options::default() }).await.unwrap();
    app.ready().await;
    let mut chromium = Chromium::start().await;
    chromium.go(&url(&app, "/gateways/a")).await;
    let shows = |text: &str| format!("document.querySelector('main').textContent.includes('{text}')");
    chromium.sees(&shows("name: a")).await;
    // Neither is in what serves, as people are shown it.
    for more in ["timeout: 7s", "# by the risk team"] {
        write(folder.path(), "a.yaml", &format!("{}{more}\n", gateway("a", 95)));
        chromium.sees(&shows(more)).await;
    }
    assert_eq!(chromium.complaints(), [""; 0]);
    app.stop().await;
}
