//! The page at `/`: three files that are part of the program.

use super::Admin;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use std::sync::Arc;

const PAGE: &str = include_str!("../../assets/page.html");
const STYLE: &str = include_str!("../../assets/page.css");
const SCRIPT: &str = include_str!("../../assets/page.js");

/// The page, its style and its script.
pub fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/", get(|| async { ([(CONTENT_TYPE, "text/html; charset=utf-8")], PAGE) }))
        .route("/page.css", get(|| async { ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
        .route("/page.js", get(|| async { ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT) }))
}

#[cfg(test)]
mod tests {
    use super::{PAGE, SCRIPT, STYLE};

    #[test]
    fn the_page_is_small_and_shows_text_of_guests_as_text_only() {
        assert!(PAGE.len() + STYLE.len() + SCRIPT.len() < 30 << 10);
        for dangerous in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.contains(dangerous), "{dangerous} would let a guest write into the page");
        }
        assert!(!PAGE.contains("://") && !STYLE.contains("://"), "nothing is fetched from elsewhere");
    }
}
