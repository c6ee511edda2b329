//! The examples in Python and Node.js, as function URLs call them.

use serde_json::{Value, json};

use crate::{
    function::{Function, Running, Start},
    interpreters::{nodes, pythons},
};

const INVOICE: &str = include_str!("../../../../examples/invoice-python/app.py");
const ORDER: &str = include_str!("../../../../examples/invoice-python/request.json");
const MARKDOWN: &str = include_str!("../../../../examples/markdown-node/markdown.mjs");
const INDEX: &str = include_str!("../../../../examples/markdown-node/index.mjs");
const TEXT: &str = include_str!("../../../../examples/markdown-node/request.json");

fn post(running: &mut Running, body: &str) -> (u64, Value) {
    call(
        running,
        &json!({ "body": body, "requestContext": { "http": { "method": "POST" } } }),
    )
}

fn call(running: &mut Running, event: &Value) -> (u64, Value) {
    let request = running.invoke(&event.to_string());
    assert!(
        request.path.ends_with("/response"),
        "{}",
        String::from_utf8_lossy(&request.body)
    );
    let response: Value = serde_json::from_slice(&request.body).expect("a response is JSON");
    assert_eq!(response["headers"]["content-type"], "application/json");
    let body = response["body"].as_str().expect("a body");
    let status = response["statusCode"].as_u64().expect("a status");
    (status, serde_json::from_str(body).expect("a body is JSON"))
}

#[test]
fn invoices() {
    for python in pythons() {
        let function = Function::python(python, Start::Plain).file("app.py", INVOICE);
        let scratch = function.root().display().to_string();
        let function = function.env("TMPDIR", &scratch);
        let mut running = function.start();

        let (status, invoice) = post(&mut running, ORDER);
        assert_eq!(status, 201, "{invoice}");
        // 2 × 1249.00 - 5 % = 2373.10; 12.5 × 18.99 - 5 % = 225.51; 24.90 - 5 % = 23.66
        assert_eq!(invoice["lines"][1]["net"], "225.51");
        assert_eq!(
            invoice["vat"],
            json!([
                { "percent": "7", "net": "249.17", "vat": "17.44" },
                { "percent": "20", "net": "2373.10", "vat": "474.62" },
            ])
        );
        assert_eq!(invoice["total"], "3114.33");
        let number = invoice["number"].as_str().expect("a number").to_owned();
        let (_, next) = post(&mut running, ORDER);
        assert!(
            next["number"].as_str() > Some(number.as_str()),
            "{number} {next}"
        );

        let yen = r#"{"currency":"JPY","customer":"K","lines":[{"description":"x","unit_price":99.5,"vat_percent":10}]}"#;
        let (_, invoice) = post(&mut running, yen);
        assert_eq!(
            (&invoice["net"], &invoice["total"]),
            (&json!("100"), &json!("110"))
        );

        let wrong = r#"{"currency":"euro","lines":[{"quantity":"much","unit_price":1e99},7]}"#;
        let (status, answer) = post(&mut running, wrong);
        assert_eq!(status, 400);
        let at: Vec<&str> = answer["problems"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|problem| problem["at"].as_str())
            .collect();
        let all = [
            "currency",
            "customer",
            "lines[0].description",
            "lines[0].quantity",
            "lines[0].unit_price",
            "lines[1]",
        ];
        assert_eq!(at, all);
        for body in ["", "{", "[]", "{\"lines\":[{\"unit_price\":NaN}]}"] {
            assert_eq!(post(&mut running, body).0, 400, "{body}");
        }
        let delete = json!({ "requestContext": { "http": { "method": "DELETE" } } });
        assert_eq!(call(&mut running, &delete).0, 405);
        let encoded = json!({ "body": "e30=", "isBase64Encoded": true });
        assert_eq!(call(&mut running, &encoded).0, 400);

        let ended = running.finish();
        let logged = ended
            .log
            .iter()
            .any(|entry| entry.text().contains(&format!("invoice {number} for")));
        assert!(logged, "{ended:?}");
    }
}

#[test]
fn markdown() {
    for node in nodes() {
        let function = Function::node(node, Start::Plain)
            .file("index.mjs", INDEX)
            .file("markdown.mjs", MARKDOWN);
        let mut running = function.start();

        let (status, page) = post(&mut running, TEXT);
        assert_eq!(status, 200, "{page}");
        assert_eq!(page["words"], 36);
        assert_eq!(
            page["contents"][1],
            json!({ "level": 2, "text": "Supplies", "id": "supplies" })
        );
        let html = page["html"].as_str().expect("HTML");
        assert!(
            !html.contains("<script") && html.contains("&lt;script&gt;"),
            "{html}"
        );

        for (text, wanted) in [
            (
                "a *b* __c__ `d<` ~~e~~",
                "<p>a <em>b</em> <strong>c</strong> <code>d&lt;</code> <del>e</del></p>",
            ),
            (
                "[a](javascript:x) <b>",
                "<p>[a](javascript:x) &lt;b&gt;</p>",
            ),
            ("[a](java\u{1}script:x)", "<p>[a](java\u{1}script:x)</p>"),
            (
                "![\"](x\"y)",
                "<p><img src=\"x&quot;y\" alt=\"&quot;\"></p>",
            ),
            (
                "# A B\n# A B",
                "<h1 id=\"a-b\">A B</h1>\n<h1 id=\"a-b-1\">A B</h1>",
            ),
            (
                "- a\n  - b\n- c",
                "<ul>\n<li>a\n<ul>\n<li>b</li>\n</ul></li>\n<li>c</li>\n</ul>",
            ),
            (
                "3. a\n4. b",
                "<ol start=\"3\">\n<li>a</li>\n<li>b</li>\n</ol>",
            ),
            (
                "> a\n>\n> b",
                "<blockquote>\n<p>a</p>\n<p>b</p>\n</blockquote>",
            ),
            (
                "```rs\n<a>\n```",
                "<pre><code class=\"language-rs\">&lt;a&gt;\n</code></pre>",
            ),
            ("a  \nb\n\n---", "<p>a<br>\nb</p>\n<hr>"),
            ("", ""),
        ] {
            let (status, page) = post(&mut running, &json!({ "markdown": text }).to_string());
            assert_eq!((status, page["html"].as_str()), (200, Some(wanted)));
        }
        // A text that makes naive parsers look ahead from everywhere.
        let hostile = "`".repeat(60_000) + &"*a _b ".repeat(10_000) + &"[".repeat(60_000);
        assert_eq!(post(&mut running, &hostile).0, 200);

        for body in ["{", "{\"markdown\":1}", &"x".repeat(300_000)] {
            assert_eq!(post(&mut running, body).0, 400);
        }
        let get = json!({ "requestContext": { "http": { "method": "GET" } } });
        assert_eq!(call(&mut running, &get).0, 200);
        assert!(running.finish().status.success());
    }
}
