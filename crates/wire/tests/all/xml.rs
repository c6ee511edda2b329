//! XML as text that is the same for what a client reads as the same: without white space between
//! elements, declarations, namespaces and what is said of the request, entries of maps sorted.

/// Panics at what is no XML of the simple kind that AWS writes.
pub fn comparable(text: &str) -> String {
    let mut rest = text.trim();
    if let Some(declared) = rest.strip_prefix("<?xml") {
        rest = declared.split_once("?>").unwrap().1.trim_start();
    }
    let (mut tree, rest) = element(rest);
    assert!(rest.trim().is_empty(), "after the end: {rest}");
    tree.children
        .retain(|child| child.name != "ResponseMetadata");
    // What it is called is for nobody to read.
    tree.name = "";
    tree.print()
}

struct Element<'a> {
    name: &'a str,
    text: &'a str,
    children: Vec<Element<'a>>,
}

/// The element that `text` begins with, and what comes after it.
fn element(text: &str) -> (Element<'_>, &str) {
    let (tag, mut rest) = text.strip_prefix('<').unwrap().split_once('>').unwrap();
    let (tag, is_empty) = match tag.strip_suffix('/') {
        Some(tag) => (tag, true),
        None => (tag, false),
    };
    let mut this = Element {
        name: tag.split_whitespace().next().unwrap(),
        text: "",
        children: Vec::new(),
    };
    if is_empty {
        return (this, rest);
    }
    loop {
        let at = rest.find('<').unwrap();
        let (text, tag) = rest.split_at(at);
        if let Some(after) = tag.strip_prefix("</") {
            let (name, after) = after.split_once('>').unwrap();
            assert_eq!(name, this.name);
            if this.children.is_empty() && !text.trim().is_empty() {
                this.text = text;
            }
            return (this, after);
        }
        let (child, after) = element(tag);
        this.children.push(child);
        rest = after;
    }
}

impl Element<'_> {
    fn print(&self) -> String {
        let mut children: Vec<String> = self.children.iter().map(Element::print).collect();
        let is_map = |child: &Element<'_>| child.children.len() == 2 && child.name == "entry";
        if self.children.iter().all(is_map) {
            children.sort();
        }
        let text = self.text.replace("&#xD;", "\r").replace("&quot;", "\"");
        format!("<{}>{text}{}</>", self.name, children.concat())
    }
}
