//! A strict parser of metrics in the text format of Prometheus and in `OpenMetrics`. It shares no code with the
//! writer of the metrics.

use std::collections::{BTreeMap, BTreeSet};

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// `OpenMetrics`, version 1.0.0.
    OpenMetrics,
}

/// A metric family: all samples under one description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricFamily {
    /// Name, as in the description.
    pub name: String,
    /// Type.
    pub kind: String,
    /// Help text.
    pub help: String,
    /// Samples.
    pub samples: Vec<MetricSample>,
}

/// The value of one series at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSample {
    /// Name: the family's name, with a suffix for some types.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

impl Exposition {
    /// Parses metrics. The error names the line or the family that violates the format.
    pub fn read(self, text: &str) -> Result<Vec<MetricFamily>, String> {
        let body = match self {
            Self::OpenMetrics => text.strip_suffix("# EOF\n").ok_or("the text does not end with # EOF")?,
            Self::Prometheus => text,
        };
        if !body.is_empty() && !body.ends_with('\n') {
            return Err("the last line does not end with a line feed".to_owned());
        }
        let mut families = Vec::<MetricFamily>::new();
        for line in body.lines() {
            self.parse_line(&mut families, line).map_err(|error| format!("{error}: {line}"))?;
        }
        for family in &families {
            self.check(family).map_err(|error| format!("{}: {error}", family.name))?;
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = families.iter().find(|family| !names.insert(&family.name)) {
            return Err(format!("the family {} appears twice", twice.name));
        }
        Ok(families)
    }

    fn parse_line(self, families: &mut Vec<MetricFamily>, line: &str) -> Result<(), String> {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (word, name, text) = (words.next(), words.next(), words.next());
            let (Some(word), Some(name), Some(text)) = (word, name, text) else {
                return Err("a description lacks its name or its text".to_owned());
            };
            if families.last().is_none_or(|last| last.name != name) {
                families.push(MetricFamily { name: name.to_owned(), ..MetricFamily::default() });
            }
            let Some(family) = families.last_mut() else { return Ok(()) };
            if !family.samples.is_empty() {
                return Err("a description follows its samples".to_owned());
            }
            let into = match word {
                "HELP" => &mut family.help,
                "TYPE" => &mut family.kind,
                "UNIT" if self == Self::OpenMetrics => return Ok(()),
                _ => return Err("unknown kind of description".to_owned()),
            };
            if !into.is_empty() {
                return Err("the description appears twice".to_owned());
            }
            text.clone_into(into);
            return Ok(());
        }
        let sample = sample(line)?;
        let family = families.last_mut().ok_or("a sample without a description")?;
        if !self
            .suffixes(&family.kind)?
            .iter()
            .any(|suffix| sample.name == format!("{}{suffix}", family.name))
        {
            return Err(format!(
                "the sample does not belong to the family {} ({})",
                family.name, family.kind
            ));
        }
        family.samples.push(sample);
        Ok(())
    }

    /// Returns the suffixes that a type adds to a family's name in the names of its samples.
    fn suffixes(self, kind: &str) -> Result<&'static [&'static str], String> {
        match (kind, self) {
            ("gauge", _) | ("counter", Self::Prometheus) => Ok(&[""]),
            ("counter", Self::OpenMetrics) => Ok(&["_total"]),
            ("info", Self::OpenMetrics) => Ok(&["_info"]),
            ("histogram", _) => Ok(&["_bucket", "_sum", "_count"]),
            _ => Err(format!("{kind:?} is not a type")),
        }
    }

    fn check(self, family: &MetricFamily) -> Result<(), String> {
        if family.help.is_empty() || family.kind.is_empty() {
            return Err("the family has no help text or no type".to_owned());
        }
        let is_counter = family.kind == "counter";
        if is_counter && family.name.ends_with("_total") != (self == Self::Prometheus) {
            return Err("a counter's name ends with _total in the Prometheus format only".to_owned());
        }
        let mut seen = BTreeSet::new();
        for sample in &family.samples {
            if !seen.insert((&sample.name, &sample.labels)) {
                return Err(format!("the sample appears twice: {sample:?}"));
            }
            if is_counter && (sample.value.is_nan() || sample.value < 0.0) {
                return Err(format!("the counter is below 0 or not a number: {sample:?}"));
            }
        }
        if family.kind == "histogram" { check_histogram(family) } else { Ok(()) }
    }
}

/// Checks that bounds ascend, that counts do not descend, and that the last bucket counts every observation.
fn check_histogram(family: &MetricFamily) -> Result<(), String> {
    let mut buckets = BTreeMap::<BTreeMap<String, String>, Vec<(f64, f64)>>::new();
    let mut counts = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le");
        if sample.name.ends_with("_bucket") {
            let bound = number(&bound.ok_or("a bucket without the label le")?)?;
            buckets.entry(labels).or_default().push((bound, sample.value));
        } else if sample.name.ends_with("_count") {
            counts.insert(labels, sample.value);
        }
    }
    for (labels, buckets) in &buckets {
        let ascend = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let last = buckets.last().filter(|(bound, _)| bound.is_infinite()).map(|(_, count)| count);
        if !ascend || last.is_none() || last != counts.get(labels) {
            return Err(format!("the buckets are inconsistent: {labels:?} {buckets:?}"));
        }
    }
    Ok(())
}

fn number(text: &str) -> Result<f64, String> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        _ if text.starts_with(|start: char| start.is_ascii_digit() || start == '-') => {
            text.parse().map_err(|_| format!("{text:?} is not a number"))
        }
        _ => Err(format!("{text:?} is not a number")),
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    text.starts_with(is_letter) && text.chars().all(|letter| is_letter(letter) || letter.is_ascii_digit())
}

fn sample(line: &str) -> Result<MetricSample, String> {
    let end = line.find(['{', ' ']).ok_or("a sample without a value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return Err(format!("{name:?} is not a name"));
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, behind) = rest.split_once("=\"").ok_or("a label without a value")?;
            let (value, behind) = quoted(behind)?;
            if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("{label:?} is not a label name, or appears twice"));
            }
            rest = behind.strip_prefix(',').unwrap_or(behind);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').ok_or("no space in front of the value")?;
    Ok(MetricSample { name: name.to_owned(), labels, value: number(value)? })
}

/// Returns a label's value, and the text after its closing quote.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let (mut value, mut letters) = (String::new(), text.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                _ => return Err("unknown escape sequence".to_owned()),
            },
            _ => value.push(letter),
        }
    }
    Err("a label's value has no closing quote".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parser rejects what either format forbids.
    #[test]
    fn invalid_texts_are_rejected() {
        let good = "# HELP a A\n# TYPE a gauge\na{b=\"c\\\"}\\n\",d=\"e\"} 1.5\n";
        assert_eq!(Exposition::Prometheus.read(good).unwrap()[0].samples[0].labels["b"], "c\"}\n");
        assert!(Exposition::OpenMetrics.read(&format!("{good}# EOF\n")).is_ok());
        for broken in [
            "# HELP a A\n# TYPE a gauge\na 1",
            "# HELP a A\n# TYPE a gauge\na 1\n# HELP b B\n# TYPE b gauge\nb 1\n# HELP a A\n# TYPE a gauge\na{c=\"d\"} 1\n",
            "# HELP a A\n# TYPE a gauge\na 1\na 2\n",
            "# HELP a A\n# TYPE a gauge\nb 1\n",
            "# HELP a A\na 1\n",
            "# TYPE a gauge\na 1\n",
            "# HELP a A\n# TYPE a gauge\na one\n",
            "# HELP a A\n# TYPE a gauge\na{b=\"c} 1\n",
            "# HELP a A\n# TYPE a info\na_info 1\n",
            "# HELP a A\n# TYPE a counter\na 1\n",
            "# HELP a A\n# TYPE a gauge\na 1\n# EOF\n",
            "# HELP a A\n# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\n",
        ] {
            assert!(Exposition::Prometheus.read(broken).is_err(), "{broken}");
        }
        for broken in ["# HELP a A\n# TYPE a gauge\na 1\n", "# HELP a A\n# TYPE a counter\na 1\n# EOF\n"] {
            assert!(Exposition::OpenMetrics.read(broken).is_err(), "{broken}");
        }
    }
}
