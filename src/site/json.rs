//! JSON that people can read as well: a line for each thing that belongs together.

use serde_json::Value;

/// Down to a step, a buffer and a tensor.
pub const DEPTH: usize = 6;

/// Objects and lists down to `depth` have a line for each of their members; what lies deeper stands in
/// one.
pub fn lines(value: &Value, depth: usize) -> String {
    let mut text = String::new();
    write(&mut text, value, depth, 0);
    text.push('\n');
    text
}

fn write(text: &mut String, value: &Value, depth: usize, level: usize) {
    let is_short = |value: &Value| match value {
        Value::Array(items) => !items.iter().any(|item| item.is_object() || item.is_array()),
        Value::Object(members) => members.is_empty(),
        _ => true,
    };
    if level == depth || is_short(value) {
        text.push_str(&value.to_string());
        return;
    }
    let indent = " ".repeat(level + 1);
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    text.push(open);
    let mut first = true;
    let mut begin = |text: &mut String| {
        text.push_str(if std::mem::take(&mut first) { "\n" } else { ",\n" });
        text.push_str(&indent);
    };
    match value {
        Value::Array(items) => {
            for item in items {
                begin(text);
                write(text, item, depth, level + 1);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                begin(text);
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push_str(": ");
                write(text, member, depth, level + 1);
            }
        }
        _ => {}
    }
    text.push('\n');
    text.push_str(&indent[1..]);
    text.push(close);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::lines;

    #[test]
    fn what_lies_deep_stands_in_one_line() {
        let value = json!({"a": [{"b": {"c": 1}}, {"b": [2, 3]}], "d\"": [1, 2], "e": {}});
        let text = lines(&value, 2);
        let expected = "{\n \"a\": [\n  {\"b\":{\"c\":1}},\n  {\"b\":[2,3]}\n ],\n \
                        \"d\\\"\": [1,2],\n \"e\": {}\n}\n";
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
