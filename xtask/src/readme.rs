//! The commands that README.md tells a newcomer to run.

/// The lines after `$ ` in the README's fenced `console` blocks, as written.
pub fn commands(readme: &str) -> Vec<String> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in readme.lines() {
        match line.trim_end() {
            "```console" => inside = true,
            "```" => inside = false,
            line if inside => commands.extend(line.strip_prefix("$ ").map(str::to_owned)),
            _ => {}
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_prompts_in_console_blocks() {
        let readme = "\
# Lambent
$ not this
```console
$ cargo run --release -- demo
lambent is ready
$ cargo xtask test
```
```rust
$ nor this
```
";
        assert_eq!(
            commands(readme),
            ["cargo run --release -- demo", "cargo xtask test"]
        );
    }
}
