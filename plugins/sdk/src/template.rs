//! Templates: `"path#{path}"`, compiled once, rendered for each record.
//!
//! `{field}` is a field, `{a.b}` a field of an object, `{when:date}` the date of an ISO timestamp in UTC (also `year`,
//! `month`, `day` and `hour`), `{field:json}` any value as JSON, texts quoted, for messages that are JSON themselves; `{{` and
//! `}}` are braces. A text, a number or a boolean has a place in a text; anything else is an error, never an empty text.

use crate::json::{Json, Record};
use crate::moment::Moment;
use std::borrow::Cow;
use std::fmt;

/// A compiled template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<TemplatePart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    Literal(String),
    Field { path: String, format: Option<FieldFormat> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldFormat {
    Date,
    Year,
    Month,
    Day,
    Hour,
    Json,
}

/// A template that is written wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    template: String,
    column: usize,
    what: String,
}

/// A record that lacks a field that a template needs, or has another kind of value there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderError {
    template: String,
    /// The field.
    pub field: String,
    /// Why it does not fit.
    pub problem: FieldProblem,
}

/// Why a field does not fit a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldProblem {
    /// The record does not have it.
    Missing,
    /// It is null, an array or an object.
    Kind(&'static str),
    /// It is not the timestamp that the format needs.
    NotATimestamp(String),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template {:?}, column {}: {}", self.template, self.column, self.what)
    }
}

impl std::error::Error for TemplateError {}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RenderError { template, field, problem } = self;
        match problem {
            FieldProblem::Missing => write!(f, "field {field:?} is missing, template {template:?} needs it"),
            FieldProblem::Kind(kind) => {
                write!(f, "field {field:?} is {kind}, template {template:?} needs a text or a number")
            }
            FieldProblem::NotATimestamp(text) => {
                write!(
                    f,
                    "field {field:?} is {text:?}, template {template:?} needs an ISO timestamp like 2026-01-31T08:00:00Z"
                )
            }
        }
    }
}

impl std::error::Error for RenderError {}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// [`TemplateError`], with the mistake and its column.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(at);
            literal.push_str(before);
            let error = |what: &str| TemplateError::new(source, source.len() - after.len(), what);
            if let Some(tail) = after.strip_prefix("{{").or_else(|| after.strip_prefix("}}")) {
                literal.push_str(after.get(..1).unwrap_or_default());
                rest = tail;
                continue;
            }
            let Some(field) = after.strip_prefix('{') else {
                return Err(error("a `}` without its `{`; write `}}` for a brace"));
            };
            let Some((field, tail)) = field.split_once('}') else {
                return Err(error("a `{` without its `}`; write `{{` for a brace"));
            };
            if !literal.is_empty() {
                parts.push(TemplatePart::Literal(std::mem::take(&mut literal)));
            }
            parts.push(TemplatePart::parse(field).map_err(|what| error(&what))?);
            rest = tail;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(literal));
        }
        Ok(Template { source: source.to_owned(), parts })
    }

    /// The text as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The fields that it needs.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Field { path, .. } => Some(path.as_str()),
            TemplatePart::Literal(_) => None,
        })
    }

    /// The text for a record. A template that is nothing but a field borrows it.
    ///
    /// # Errors
    /// [`RenderError`], which names the field and the template.
    pub fn render<'a>(&self, record: &Record<'a>) -> Result<Cow<'a, str>, RenderError> {
        // Most templates of keys are a single field, and most fields are texts: they are not copied.
        if let [TemplatePart::Field { path, format: None }] = self.parts.as_slice()
            && let Some(Json::Text(Cow::Borrowed(text))) = record.get(path)
        {
            return Ok(Cow::Borrowed(text));
        }
        self.render_with(|path| record.find(path))
    }

    /// The text, with the fields that `field` gives.
    ///
    /// # Errors
    /// [`RenderError`], which names the field and the template.
    pub fn render_with<'a>(&self, field: impl Fn(&str) -> Option<Json<'a>>) -> Result<Cow<'a, str>, RenderError> {
        if let [TemplatePart::Field { path, format }] = self.parts.as_slice() {
            return self.part(path, *format, field(path));
        }
        let mut text = String::with_capacity(self.source.len() + 64);
        for part in &self.parts {
            match part {
                TemplatePart::Literal(literal) => text.push_str(literal),
                TemplatePart::Field { path, format } => text.push_str(&self.part(path, *format, field(path))?),
            }
        }
        Ok(Cow::Owned(text))
    }

    fn part<'a>(
        &self,
        path: &str,
        format: Option<FieldFormat>,
        value: Option<Json<'a>>,
    ) -> Result<Cow<'a, str>, RenderError> {
        let problem = match value {
            Some(value) if format == Some(FieldFormat::Json) => {
                let mut text = String::new();
                value.write(&mut text);
                return Ok(Cow::Owned(text));
            }
            Some(Json::Text(text)) => match format.map(|format| format.apply(&text)) {
                None => return Ok(text),
                Some(Some(part)) => return Ok(Cow::Owned(part)),
                Some(None) => FieldProblem::NotATimestamp(text.into_owned()),
            },
            Some(Json::Number(literal)) if format.is_none() => return Ok(literal),
            Some(Json::Number(literal)) => FieldProblem::NotATimestamp(literal.into_owned()),
            Some(Json::Boolean(value)) if format.is_none() => {
                return Ok(Cow::Borrowed(if value { "true" } else { "false" }));
            }
            Some(other) => FieldProblem::Kind(other.kind()),
            None => FieldProblem::Missing,
        };
        Err(RenderError { template: self.source.clone(), field: path.to_owned(), problem })
    }
}

impl TemplatePart {
    fn parse(field: &str) -> Result<Self, String> {
        let (path, format) = match field.split_once(':') {
            Some((path, format)) => (path, Some(FieldFormat::parse(format)?)),
            None => (field, None),
        };
        if path.is_empty() || path.split('.').any(str::is_empty) {
            return Err(format!("{{{field}}} does not name a field"));
        }
        if path.contains('{') {
            return Err("a `{` within a field; write `{{` for a brace".to_owned());
        }
        Ok(TemplatePart::Field { path: path.to_owned(), format })
    }
}

impl FieldFormat {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "date" => FieldFormat::Date,
            "year" => FieldFormat::Year,
            "month" => FieldFormat::Month,
            "day" => FieldFormat::Day,
            "hour" => FieldFormat::Hour,
            "json" => FieldFormat::Json,
            _ => return Err(format!("unknown format {name:?}; there are date, year, month, day, hour and json")),
        })
    }

    /// The part of an ISO timestamp in UTC; `None` if it is none, or lacks the part. JSON is no part of one.
    fn apply(self, text: &str) -> Option<String> {
        let at = Moment::read(text)?.calendar();
        Some(match self {
            FieldFormat::Date => at.date(),
            FieldFormat::Year => format!("{:04}", at.year),
            FieldFormat::Month => format!("{:02}", at.month),
            FieldFormat::Day => format!("{:02}", at.day),
            FieldFormat::Hour if text.len() > 10 => format!("{:02}", at.hour),
            FieldFormat::Hour | FieldFormat::Json => return None,
        })
    }
}

impl TemplateError {
    fn new(template: &str, at: usize, what: &str) -> Self {
        let column = template.get(..at).unwrap_or_default().chars().count() + 1;
        TemplateError { template: template.to_owned(), column, what: what.to_owned() }
    }
}

/// A template for each key attribute of a table, in the order in which they were given. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplates(Vec<(String, Template)>);

impl KeyTemplates {
    /// Compiles `config.key`: a template for each attribute.
    ///
    /// # Errors
    /// In words for the operator, if there is none or one is written wrong.
    pub fn compile(key: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let compile = |(name, template): (String, String)| match Template::parse(&template) {
            Ok(template) => Ok((name, template)),
            Err(error) => Err(format!("config.key.{name}: {error}")),
        };
        let attributes = key.into_iter().map(compile).collect::<Result<Vec<_>, _>>()?;
        if attributes.is_empty() {
            return Err("config.key: name the key attributes of the table, each with a template".to_owned());
        }
        Ok(KeyTemplates(attributes))
    }

    /// Attributes and their templates.
    #[must_use]
    pub fn attributes(&self) -> &[(String, Template)] {
        &self.0
    }

    /// The names of the attributes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests;
