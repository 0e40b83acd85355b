//! A client in a page, in Chromium: what the Fetch standard lets it send and read is what counts.

use serde_json::json;

use super::{
    super::support::{Setup, aws, limited},
    program::{Authorization, Front, Program},
};

#[test]
fn a_page_signs_in_and_calls_and_a_stranger_gets_nothing() {
    limited(async {
        let front = Front::open().await;
        let authorization = Authorization::start("ES256").await;
        aws::tool("/usr/bin/chromium");
        let mut browser = Program::start("browser.mjs");
        let origins = browser.ask(&json!({})).await;
        let setup = Setup::new()
            .with("/auth/requiredScopes", json!(["mcp"]))
            .with("/server/allowedOrigins", json!([origins["page"]]));
        let server = front.lead_to(&authorization, setup);
        let resource = front.url("/mcp");
        let plan = json!({ "server": resource, "issuer": authorization.issuer, "login": "alice" });
        let said = browser.ask(&plan).await;
        let page = &said["page"];
        let metadata = front.url("/.well-known/oauth-protected-resource/mcp");
        assert_eq!(page["status"], 401, "{said}");
        assert_eq!(
            page["challenge"],
            format!(r#"Bearer resource_metadata="{metadata}", scope="mcp""#)
        );
        assert_eq!(page["metadata"]["resource"], resource);
        assert_eq!(page["called"], 200, "{said}");
        let who = &page["answer"]["result"]["structuredContent"];
        assert_eq!(
            (&who["subject"], &who["issuer"]),
            (&json!("alice"), &json!(authorization.issuer))
        );
        assert!(page["requestId"].is_string());
        // The stranger is told nothing, and what it sends does nothing, with a good token or without.
        let unread = json!({ "type": "opaque", "status": 0, "text": "" });
        assert_eq!(
            said["stranger"],
            json!({
                "withToken": "TypeError",
                "withoutToken": "TypeError",
                "metadata": "TypeError",
                "simple": "TypeError",
                "blind": unread,
            })
        );
        let log = server.terminate();
        assert_eq!(log.matches(r#""tool":"whoami""#).count(), 1, "{log}");
        // What it sent did arrive: two preflights, the metadata, and the two that a page need not ask for.
        assert!(log.matches(r#""status":403"#).count() >= 5, "{log}");
    });
}
