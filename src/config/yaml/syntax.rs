//! What broken YAML usually is, in words that help.

use crate::diag::Code;
use granit_parser::{ErrorKind, ScanError};

/// Message and help about tabs.
pub(super) const TAB: (&str, &str) = ("a tab is used for indentation", "indent with spaces");

/// Message and help about tags.
pub(super) const TAG: (&str, &str) = (
    "the value has a tag, which these files do not use",
    "remove the tag; to write a text that begins with `!`, put it in quotes",
);

/// The code, message and help for an error of the parser.
pub(super) fn explain(error: &ScanError, max_depth: usize) -> (Code, String, &'static str) {
    let quote = "put a text with special characters in quotes";
    let syntax = |message: &str, help| (Code::Syntax, message.to_owned(), help);
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => {
            let message = format!("lists and maps are nested more than {max_depth} deep");
            (Code::TooComplex, message, "write the file flatter, or close the brackets that are open")
        }
        ErrorKind::DirectiveDisallowed => {
            let message = "directives of YAML are not used in these files".to_owned();
            (Code::Tag, message, "remove the line that begins with `%`")
        }
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => syntax(TAB.0, TAB.1),
        ErrorKind::MissingAnchorOrAliasName => syntax(
            "`*` and `&` begin an alias or an anchor of YAML here",
            "if it is meant as text, put it in quotes: \"*\"",
        ),
        ErrorKind::MappingValueNotAllowed => syntax(
            "a colon is not expected here",
            "put a text that has a colon and a space in quotes, and check that the key above has a space after its colon",
        ),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => syntax(
            "a key of the map above is expected here",
            "indent the keys of one map by the same number of spaces",
        ),
        ErrorKind::ExpectedBlockSequenceEntry => syntax(
            "an item of the list above is expected here",
            "begin each item of a list with `- `, all indented alike",
        ),
        ErrorKind::BlockSequenceEntryNotAllowed => {
            syntax("a list cannot begin here", "begin the list on the next line, or write it as [a, b]")
        }
        ErrorKind::ExpectedFlowMappingSeparator => syntax(
            "a `,` or the closing `}` of a map is expected here",
            "close the map with `}`, or separate its entries with `,`",
        ),
        ErrorKind::ExpectedFlowSequenceSeparator => syntax(
            "a `,` or the closing `]` of a list is expected here",
            "close the list with `]`, or separate its items with `,`",
        ),
        ErrorKind::UnclosedFlowCollection { open } => {
            (Code::Syntax, format!("the `{open}` here is never closed"), "close what is open")
        }
        ErrorKind::MisplacedFlowCollectionEnd | ErrorKind::MismatchedFlowCollectionEnd { .. } => {
            syntax("a bracket is closed here that is not open", "remove it, or open it before")
        }
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::DocumentIndicatorInQuotedScalar => syntax(
            "the quotes that are opened here are never closed",
            "close the quotes on the line where they are opened",
        ),
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            syntax(
                "something follows the closing quote",
                "put the whole text in quotes, and write a quote within single quotes twice",
            )
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => syntax(
            "an escape that YAML does not have is in this text",
            "write a backslash within double quotes twice, or use single quotes",
        ),
        ErrorKind::UnexpectedCharacter { character } if character.is_control() => {
            let message =
                format!("the control character U+{:04X} is not allowed in YAML", u32::from(*character));
            (Code::Syntax, message, "remove the character")
        }
        ErrorKind::UnexpectedCharacter { character } => (
            Code::Syntax,
            format!("a text cannot begin with `{character}` in YAML"),
            "put the text in quotes",
        ),
        ErrorKind::UndeclaredTagHandle => (Code::Tag, TAG.0.to_owned(), TAG.1),
        _ => (Code::Syntax, format!("this is not YAML: {}", error.info()), quote),
    }
}
