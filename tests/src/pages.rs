//! The HTTP pages of a node, fetched by hand, and samples out of its metrics.
//!
//! A plain socket shows what any client would get. Nothing is interpreted but the text format of Prometheus.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// How long a page may take.
const END: Duration = Duration::from_secs(30);

/// The whole answer to `GET path`, head included.
///
/// # Errors
/// Nothing listens at `address`, or it does not answer in time.
pub fn page(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(END))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The sum of all samples of the metric `name` in a page that carry these labels; `None` when there is none.
#[must_use]
pub fn sample(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let of_metric = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    };
    let values = page.lines().filter(of_metric).filter_map(|line| line.rsplit(' ').next()?.parse().ok());
    values.reduce(|sum: f64, value: f64| sum + value)
}

/// One line of a page of metrics: its name, its labels in their order, and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name of the metric, with what a histogram appends to it.
    pub name: String,
    /// Labels and their values.
    pub labels: Vec<(String, String)>,
    /// The sample.
    pub value: f64,
}

/// All series of a page. Values of labels must hold no comma and no quotation mark.
#[must_use]
pub fn series(page: &str) -> Vec<Series> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.filter_map(|line| {
        let (head, value) = line.rsplit_once(' ')?;
        let (name, labels) = head.split_once('{').unwrap_or((head, "}"));
        let pairs = labels.strip_suffix('}')?.split(',').filter_map(|pair| pair.split_once('='));
        let labels = pairs.map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned()));
        Some(Series { name: name.to_owned(), labels: labels.collect(), value: value.parse().ok()? })
    });
    parsed.collect()
}
