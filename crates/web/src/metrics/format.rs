//! Formats of measurements, and the choice of the format that a client prefers.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderValue, header};

/// A format of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4. The default.
    Prometheus,
    /// `OpenMetrics`, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Returns the `Content-Type` of the format.
    pub const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }

    /// Returns the format that a client prefers. Returns the default if the client prefers none or accepts neither, because a
    /// scraper with a wrong `Accept` can most probably read the default.
    pub fn preferred(headers: &HeaderMap) -> Self {
        let accepted: Vec<_> =
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let accepted = accepted.join(",");
        let quality = |format: Self| {
            let ranges = accepted.split(',').filter_map(|range| Range::parse(range)?.quality_of(format));
            // If several ranges match, the most specific one counts.
            ranges
                .max_by_key(|(specificity, quality)| (*specificity, *quality))
                .map_or(0, |(_, quality)| quality)
        };
        if quality(Self::OpenMetrics) > quality(Self::Prometheus) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Converts a text from the `OpenMetrics` format to this format.
    pub(super) fn of_open_metrics(self, text: String) -> String {
        match self {
            Self::Prometheus => to_prometheus(&text),
            Self::OpenMetrics => text,
        }
    }
}

/// A range of media types in `Accept`.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    /// Quality in thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut pieces = text.split(';').map(str::trim);
        let (kind, subtype) = pieces.next()?.split_once('/')?;
        let mut range = Self { kind, subtype, version: None, quality: 1_000 };
        for (name, value) in pieces.filter_map(|piece| piece.split_once('=')) {
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("q") {
                range.quality = thousandths(value)?;
            } else if name.eq_ignore_ascii_case("version") {
                range.version = Some(value);
            }
        }
        Some(range)
    }

    /// Returns the range's specificity and quality for a format; `None` if the range does not match the format.
    fn quality_of(&self, format: Format) -> Option<(u8, u16)> {
        let (kind, subtype, version) = match format {
            Format::Prometheus => ("text", "plain", "0.0.4"),
            Format::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
        };
        let is_kind = self.kind.eq_ignore_ascii_case(kind);
        let specificity = if is_kind && self.subtype.eq_ignore_ascii_case(subtype) {
            match self.version {
                None => 2,
                Some(preferred) if preferred == version => 3,
                // This version is not supported.
                Some(_) => return None,
            }
        } else if is_kind && self.subtype == "*" {
            1
        } else if self.kind == "*" && self.subtype == "*" {
            0
        } else {
            return None;
        };
        Some((specificity, self.quality))
    }
}

/// Reads a quality from `0` to `1` with at most three decimals (RFC 9110), in thousandths.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1_000),
        _ => None,
    }
}

/// Converts a text from the `OpenMetrics` format to Prometheus' text format, in which metadata names a counter like its series,
/// with `_total`. Prometheus has no type `info` or `unknown`, no units and no end marker.
fn to_prometheus(text: &str) -> String {
    let mut converted = String::with_capacity(text.len() + text.len() / 16);
    let mut help: Option<(&str, &str)> = None;
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|typed| typed.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                // Writing to a string cannot fail.
                let _ = writeln!(converted, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(converted, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            converted.push_str(line);
            converted.push('\n');
        }
    }
    converted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferred(accepted: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for value in accepted {
            headers.append(header::ACCEPT, value.parse().unwrap());
        }
        Format::preferred(&headers)
    }

    /// Proves that the format with the higher quality is chosen, and Prometheus' text format if `Accept` prefers none.
    #[test]
    fn the_preferred_format_is_found() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                            text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for accepted in [
            &[prometheus_2][..],
            &[prometheus_3],
            &["application/openmetrics-text"],
            &["Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.001"],
            &["text/plain;q=0.5", "application/openmetrics-text;q=0.6"],
            &["text/plain;q=0, */*;q=0.1"],
            &["application/*"],
        ] {
            assert_eq!(preferred(accepted), Format::OpenMetrics, "{accepted:?}");
        }
        for accepted in [
            &[][..],
            &[""],
            &["*/*"],
            &["text/html,application/xhtml+xml,*/*;q=0.8"],
            &["application/openmetrics-text;q=0.3,text/plain;q=0.5"],
            &["application/openmetrics-text,text/plain"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;version=0.0.1"],
            &["application/openmetrics-text;version=2.0.0"],
            &["application/openmetrics-text;q=1.5"],
            &["application/openmetrics-text;q=high"],
            &["application/json"],
        ] {
            assert_eq!(preferred(accepted), Format::Prometheus, "{accepted:?}");
        }
    }

    /// Proves that the metadata of each type fits Prometheus' text format, and that the series do not change.
    #[test]
    fn open_metrics_becomes_prometheus() {
        let text = "# HELP a Of a\n# TYPE a counter\na_total{b=\"# c\"} 1\n\
                    # HELP d_seconds Of d\n# TYPE d_seconds histogram\n# UNIT d_seconds seconds\nd_seconds_bucket{le=\"+Inf\"} 0\n\
                    # HELP e Of e\n# TYPE e info\ne_info{f=\"g\"} 1\n# TYPE h unknown\nh 1\n# EOF\n";
        let expected = "# HELP a_total Of a\n# TYPE a_total counter\na_total{b=\"# c\"} 1\n\
                        # HELP d_seconds Of d\n# TYPE d_seconds histogram\nd_seconds_bucket{le=\"+Inf\"} 0\n\
                        # HELP e_info Of e\n# TYPE e_info gauge\ne_info{f=\"g\"} 1\n# TYPE h untyped\nh 1\n";
        assert_eq!(Format::Prometheus.of_open_metrics(text.to_owned()), expected);
        assert_eq!(Format::OpenMetrics.of_open_metrics(text.to_owned()), text);
    }
}
