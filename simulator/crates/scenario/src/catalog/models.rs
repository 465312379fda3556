//! Models that ship: their published config.json, and the parameters that were published for them.

/// A model of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CatalogModel {
    /// Its name in scenarios.
    pub name: &'static str,
    /// Its row in tests/truth/models.csv.
    pub row: &'static str,
    /// Its config.json.
    pub config: &'static str,
}

macro_rules! catalog {
    ($($name:literal = $row:literal),* $(,)?) => {
        &[$(CatalogModel {
            name: $name,
            row: $row,
            config: include_str!(concat!("../../../../../scenarios/models/", $name, "/config.json")),
        }),*]
    };
}

/// Every model of the catalogue, sorted by name.
#[must_use]
pub const fn models() -> &'static [CatalogModel] {
    catalog![
        "deepseek-v3" = "dsv3",
        "gpt-oss-120b" = "gpt-oss-120b",
        "gpt3-175b" = "gpt3-175b",
        "kimi-k2" = "kimi-k2",
        "llama3-405b" = "llama3-405b",
        "llama3-70b" = "llama3-70b",
        "llama3-8b" = "llama3-8b",
        "llama4-maverick" = "llama4-maverick",
        "mixtral-8x22b" = "mixtral-8x22b",
        "mixtral-8x7b" = "mixtral-8x7b",
        "qwen3-235b-a22b" = "qwen3-235b",
        "qwen3-30b-a3b" = "qwen3-30b",
    ]
}
