//! The templates of a table's key, as `[route.config.key]` has them: `id = "order#{id}"`.

use crate::template::Template;

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
mod tests {
    use super::*;

    fn compile(key: &[(&str, &str)]) -> Result<KeyTemplates, String> {
        KeyTemplates::compile(key.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
    }

    #[test]
    fn attributes_keep_their_order() {
        let key = compile(&[("sk", "{at}"), ("pk", "order#{id}")]).unwrap();
        assert_eq!(key.names().collect::<Vec<_>>(), ["sk", "pk"]);
        assert_eq!(key.attributes().iter().map(|(_, t)| t.source()).collect::<Vec<_>>(), ["{at}", "order#{id}"]);
    }

    #[test]
    fn a_key_without_attributes_and_a_wrong_template_are_refused_with_their_place() {
        assert_eq!(compile(&[]).unwrap_err(), "config.key: name the key attributes of the table, each with a template");
        let wrong = compile(&[("pk", "{id")]).unwrap_err();
        assert!(wrong.starts_with("config.key.pk: template \"{id\", column 1"), "{wrong}");
    }
}
