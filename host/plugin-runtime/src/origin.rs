//! Who made a file: its form, its language and its tools, read from the file alone.
//!
//! Compilers leave their names in a `producers` section. Where a tool leaves none, its runtime's own symbols
//! give it away. Everything here is a hint for messages; nothing is decided by it.

use memchr::memmem;
use serde::Serialize;
use wasmparser::{Encoding, KnownCustom, Parser, Payload};

/// What a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A component.
    Component,
    /// A core module: the step before a component.
    CoreModule,
    /// Something else.
    #[default]
    NotWasm,
}

/// The language that a component was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Language {
    Rust,
    C,
    Zig,
    Go,
    TinyGo,
    Python,
    JavaScript,
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Zig => "Zig",
            Self::Go => "Go",
            Self::TinyGo => "TinyGo",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
        })
    }
}

/// A tool that took part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version, which may be empty.
    pub version: String,
}

/// What a file says about itself, however broken it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// What it is.
    pub form: Form,
    /// Its language, when it can be told.
    pub language: Option<Language>,
    /// Its tools, in alphabetical order.
    pub tools: Vec<Tool>,
    /// What the component imports; of a core module, the modules that it imports from.
    pub imports: Vec<String>,
    /// What the component exports; of a core module, its exported functions.
    pub exports: Vec<String>,
    /// Whether a core module carries the world that it is for.
    pub carries_world: bool,
}

/// Marks that a language's runtime leaves in its components.
const MARKS: [(&str, Language); 7] = [
    ("componentize_py", Language::Python),
    ("libpython3", Language::Python),
    ("StarlingMonkey", Language::JavaScript),
    ("SpiderMonkey", Language::JavaScript),
    ("QuickJS", Language::JavaScript),
    ("tinygo_", Language::TinyGo),
    ("runtime.gcStart", Language::Go),
];

impl Origin {
    /// Reads a file as far as it can be read.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut origin = Self::default();
        let mut languages = Vec::new();
        // A broken file says what it says until the place where it is broken.
        let _ = origin.read(bytes, &mut languages);
        origin.tools.sort();
        origin.tools.dedup();
        for list in [&mut origin.imports, &mut origin.exports] {
            list.dedup();
        }
        origin.language = origin.judge(&languages, bytes);
        origin
    }

    fn read(&mut self, bytes: &[u8], languages: &mut Vec<String>) -> wasmparser::Result<()> {
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } if depth == 0 => {
                    self.form = match encoding {
                        Encoding::Module => Form::CoreModule,
                        Encoding::Component => Form::Component,
                    };
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        self.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        self.exports.push(export?.name.name.to_owned());
                    }
                }
                Payload::ImportSection(imports) if self.form == Form::CoreModule => {
                    for import in imports.into_imports() {
                        self.imports.push(import?.module.to_owned());
                    }
                }
                Payload::ExportSection(exports) if self.form == Form::CoreModule => {
                    for export in exports {
                        self.exports.push(export?.name.to_owned());
                    }
                }
                Payload::CustomSection(section) => {
                    self.carries_world |= section.name().starts_with("component-type");
                    if section.name() == "go:buildid" || section.name() == "go.buildid" {
                        languages.push("Go".to_owned());
                    }
                    if let KnownCustom::Producers(fields) = section.as_known() {
                        self.produced(fields, languages)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn produced(
        &mut self,
        fields: wasmparser::ProducersSectionReader<'_>,
        languages: &mut Vec<String>,
    ) -> wasmparser::Result<()> {
        for field in fields {
            let field = field?;
            for value in field.values {
                let value = value?;
                if field.name == "language" {
                    languages.push(value.name.to_owned());
                } else {
                    self.tools.push(Tool { name: value.name.to_owned(), version: value.version.to_owned() });
                }
            }
        }
        Ok(())
    }

    /// Interpreters are written in Rust and C themselves, so the language with a runtime of its own wins.
    fn judge(&self, languages: &[String], bytes: &[u8]) -> Option<Language> {
        let tool = |part: &str| self.tools.iter().any(|tool| tool.name.to_lowercase().contains(part));
        let language = |name: &str| languages.iter().any(|language| language.starts_with(name));
        if tool("componentize-py") {
            return Some(Language::Python);
        }
        if tool("componentize-js") || tool("componentizejs") || language("JavaScript") {
            return Some(Language::JavaScript);
        }
        if tool("tinygo") {
            return Some(Language::TinyGo);
        }
        if tool("go cmd/compile") || language("Go") {
            return Some(Language::Go);
        }
        let marked = MARKS.iter().find(|(mark, _)| memmem::find(bytes, mark.as_bytes()).is_some());
        if let Some((_, language)) = marked {
            return Some(*language);
        }
        match () {
            () if language("Rust") || tool("rustc") || tool("wit-bindgen-rust") => Some(Language::Rust),
            () if tool("zig") => Some(Language::Zig),
            () if language("C") || tool("clang") || tool("wit-bindgen-c") => Some(Language::C),
            () => None,
        }
    }

    /// Whether it imports WASI, from a component's or a core module's side.
    #[must_use]
    pub fn wants_wasi(&self) -> bool {
        self.imports.iter().any(|name| name.starts_with("wasi:") || name.starts_with("wasi_"))
    }
}
