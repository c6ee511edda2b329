//! The X-Ray trace header of an invocation.
//!
//! AWS X-Ray: "Tracing header", `Root=1-<8 hex: seconds>-<24 hex>;Parent=<16 hex>;Sampled=<0|1>`.

use wire::Timestamp;

/// Far more than functions of a chain are told of.
const LINEAGE_BYTES_MAX: usize = 1024;

/// The header a function sees: the caller's root if it gave one, else a new one.
pub fn header(given: Option<&str>, tracing_active: bool, now: Timestamp) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let field = |name: &str| {
        given?
            .split(';')
            .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
            .filter(|value| value.len() <= 64 && value.chars().all(|c| c.is_ascii_graphic()))
    };
    let seconds = now.as_second() & 0xffff_ffff;
    let new_root = || format!("1-{seconds:08x}-{}", &random[..24]);
    let root = field("Root").map_or_else(new_root, str::to_owned);
    let parent = field("Parent").unwrap_or(&random[16..]);
    let sampled = field("Sampled").unwrap_or(if tracing_active { "1" } else { "0" });
    let mut header = format!("Root={root};Parent={parent};Sampled={sampled}");
    if let Some(lineage) = lineage(given) {
        header.push_str(";Lineage=");
        header.push_str(lineage);
    }
    header
}

/// The functions that the request has run through, with which loops are told.
fn lineage(given: Option<&str>) -> Option<&str> {
    let mut fields = given?.split(';');
    let lineage = fields.find_map(|field| field.trim().strip_prefix("Lineage="));
    let is_known = |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '|';
    lineage.filter(|value| value.len() <= LINEAGE_BYTES_MAX && value.chars().all(is_known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_trace_goes_on() {
        let given = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        assert_eq!(header(Some(given), false, Timestamp::UNIX_EPOCH), given);
    }

    #[test]
    fn the_lineage_goes_on() {
        let given = "Root=1-2-3;Parent=4;Sampled=0;Lineage=a87bd80c:1|68fd508a:5";
        assert_eq!(header(Some(given), false, Timestamp::UNIX_EPOCH), given);
        let bare = header(Some("Lineage=a87bd80c:1"), false, Timestamp::UNIX_EPOCH);
        assert!(bare.starts_with("Root=1-"), "{bare}");
        assert!(bare.ends_with(";Sampled=0;Lineage=a87bd80c:1"), "{bare}");
    }

    #[test]
    fn a_new_trace_is_well_formed() {
        let at = Timestamp::from_second(0x6543_2100).unwrap();
        let header = header(Some("nonsense"), true, at);
        assert!(header.starts_with("Root=1-65432100-"), "{header}");
        assert!(header.ends_with(";Sampled=1"), "{header}");
        assert_eq!(
            header.len(),
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".len()
        );
    }
}
