//! From a query's text to its commands.

use regex::{Regex, RegexBuilder};

use super::{
    Column, Command, Direction, ParseBy, Query, ROWS_MAX, SyntaxError,
    aggregate::{Aggregate, AggregateKind},
    expression::{Binary, Expression, Matcher, Rounding, Unary},
    functions::Function,
    lexer::{Lexer, Spanned, Token},
    value::Value,
};

const COMMANDS_MAX: usize = 64;
const DEPTH_MAX: usize = 64;
const REGEX_SIZE_MAX: usize = 1024 * 1024;
/// Commands of the language that are not built.
const UNSUPPORTED: [&str; 8] = [
    "pattern",
    "diff",
    "anomaly",
    "unnest",
    "source",
    "lookup",
    "filterindex",
    "unmask",
];

type Result<T> = std::result::Result<T, SyntaxError>;

pub fn parse(text: &str) -> Result<Query> {
    let mut parser = Parser::new(text)?;
    let mut commands = Vec::new();
    loop {
        // A pipe may lead.
        while parser.take_symbol("|")? {}
        if parser.next.token == Token::End {
            break;
        }
        commands.push(parser.command()?);
        if commands.len() > COMMANDS_MAX {
            return Err(parser.unexpected());
        }
        if parser.next.token != Token::End && !parser.is_symbol("|") {
            return Err(parser.unexpected());
        }
    }
    match commands.is_empty() {
        true => Err(parser.unexpected()),
        false => Ok(Query { commands }),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    next: Spanned,
    /// Before `next` was read, for what is read in another way.
    before: Lexer<'a>,
    /// Behind what was taken last.
    end: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self> {
        let mut lexer = Lexer::new(text);
        let before = lexer.clone();
        let next = lexer.next()?;
        Ok(Self {
            lexer,
            next,
            before,
            end: 0,
            depth: 0,
        })
    }

    fn take(&mut self) -> Result<Spanned> {
        self.before = self.lexer.clone();
        let next = self.lexer.next()?;
        self.end = self.next.end;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.next.token, Token::Symbol(known) if known == symbol)
    }

    fn take_symbol(&mut self, symbol: &str) -> Result<bool> {
        let is_it = self.is_symbol(symbol);
        if is_it {
            self.take()?;
        }
        Ok(is_it)
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        match self.take_symbol(symbol)? {
            true => Ok(()),
            false => Err(self.unexpected()),
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.next.token, Token::Name(name) if name.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> Result<bool> {
        let is_it = self.is_word(word);
        if is_it {
            self.take()?;
        }
        Ok(is_it)
    }

    fn unexpected(&self) -> SyntaxError {
        let Spanned { token, start, end } = &self.next;
        let text = &self.lexer.text()[*start..*end];
        let message = match token {
            Token::End => "unexpected end of the query".to_owned(),
            _ => format!("unexpected symbol found {text}"),
        };
        self.lexer.error(message, *start, *end)
    }

    fn command(&mut self) -> Result<Command> {
        let name = self.take()?;
        let Token::Name(word) = &name.token else {
            let text = &self.lexer.text()[name.start..name.end];
            return Err(self.lexer.error(
                format!("unexpected symbol found {text}"),
                name.start,
                name.end,
            ));
        };
        match word.to_ascii_lowercase().as_str() {
            "fields" | "field" => Ok(Command::Fields(self.columns(false)?)),
            "display" => Ok(Command::Display(self.columns(false)?)),
            "filter" | "where" => Ok(Command::Filter(self.expression()?)),
            "parse" => self.parse_command(),
            "stats" => {
                let columns = self.columns(true)?;
                let by = match self.take_word("by")? {
                    true => self.columns(false)?,
                    false => Vec::new(),
                };
                Ok(Command::Stats { columns, by })
            }
            "sort" | "order" => {
                if word.eq_ignore_ascii_case("order") {
                    self.take_word("by")?;
                }
                self.sort()
            }
            "limit" | "head" => self.limit(),
            "dedup" => Ok(Command::Dedup(self.list(Self::additive)?)),
            unbuilt if UNSUPPORTED.contains(&unbuilt) => {
                let message = format!("the command {unbuilt} is not supported by Lambent");
                Err(self.lexer.error(message, name.start, name.end))
            }
            _ => {
                let message = format!("unexpected symbol found {word}");
                Err(self.lexer.error(message, name.start, name.end))
            }
        }
    }

    fn list<T>(&mut self, one: fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.take_symbol(",")? {
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn columns(&mut self, of_stats: bool) -> Result<Vec<Column>> {
        let mut columns = Vec::new();
        loop {
            let start = self.next.start;
            let expression = self.expression()?;
            let written = self.lexer.text()[start..self.end].trim();
            let name = match self.take_word("as")? {
                true => self.name()?,
                false => match &expression {
                    Expression::Field(name) => name.clone(),
                    _ => written.to_owned(),
                },
            };
            if of_stats != expression.has_aggregate() {
                let message = match of_stats {
                    true => format!("{written} is no aggregation"),
                    false => format!("{written} can only be in stats"),
                };
                return Err(self.lexer.error(message, start, self.end));
            }
            columns.push(Column { name, expression });
            if !self.take_symbol(",")? {
                return Ok(columns);
            }
        }
    }

    fn name(&mut self) -> Result<String> {
        match &self.next.token {
            Token::Name(_) | Token::Quoted(_) => match self.take()?.token {
                Token::Name(name) | Token::Quoted(name) => Ok(name),
                _ => Err(self.unexpected()),
            },
            _ => Err(self.unexpected()),
        }
    }

    fn sort(&mut self) -> Result<Command> {
        let all = self.list(|parser| {
            let expression = parser.additive()?;
            if parser.take_word("desc")? {
                return Ok((expression, Direction::Descending));
            }
            parser.take_word("asc")?;
            Ok((expression, Direction::Ascending))
        })?;
        Ok(Command::Sort(all))
    }

    fn limit(&mut self) -> Result<Command> {
        match self.next.token {
            Token::Number(number) if number >= 1.0 && number.fract() == 0.0 => {
                let limit = (number as usize).min(ROWS_MAX);
                self.take()?;
                Ok(Command::Limit(limit))
            }
            _ => Err(self.unexpected()),
        }
    }

    fn parse_command(&mut self) -> Result<Command> {
        let message = || Expression::Field("@message".to_owned());
        let mut from = message();
        if !matches!(self.next.token, Token::Text(_)) && !self.is_symbol("/") {
            from = Expression::Field(self.name()?);
        }
        if let Some((text, start, end)) = self.regex()? {
            let regex = self.compile(&text, start, end)?;
            if regex.capture_names().flatten().next().is_none() {
                let message = "the regular expression has no named group, such as (?<name>…)";
                return Err(self.lexer.error(message, start, end));
            }
            let by = ParseBy::Regex(regex);
            return Ok(Command::Parse { from, by });
        }
        let glob = self.take()?;
        let Token::Text(text) = glob.token else {
            let message = "parse needs a glob or a regular expression";
            return Err(self.lexer.error(message, glob.start, glob.end));
        };
        let regex = text.split('*').map(regex::escape).collect::<Vec<_>>();
        let stars = regex.len() - 1;
        // What is behind the last star may be anything, too, if nothing is said of it.
        let ends = if text.ends_with('*') { "$" } else { "" };
        let regex = format!("(?s){}{ends}", regex.join("(.*?)"));
        let regex = self.compile(&regex, glob.start, glob.end)?;
        if !self.take_word("as")? {
            return Err(self.unexpected());
        }
        let names = self.list(Self::name)?;
        if names.len() != stars {
            let message = format!("there are {stars} wildcards and {} names", names.len());
            return Err(self.lexer.error(message, glob.start, self.end));
        }
        let by = ParseBy::Glob(regex, names);
        Ok(Command::Parse { from, by })
    }

    /// A regular expression, if one is next.
    fn regex(&mut self) -> Result<Option<(String, usize, usize)>> {
        if !self.is_symbol("/") {
            return Ok(None);
        }
        let mut lexer = self.before.clone();
        let found = lexer.regex()?;
        self.lexer = lexer;
        self.end = self.lexer.at();
        self.before = self.lexer.clone();
        self.next = self.lexer.next()?;
        Ok(found)
    }

    fn compile(&self, text: &str, start: usize, end: usize) -> Result<Regex> {
        let regex = RegexBuilder::new(text).size_limit(REGEX_SIZE_MAX).build();
        regex.map_err(|error| {
            let message = match error {
                regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
                error => format!("the regular expression cannot be understood: {error}"),
            };
            self.lexer.error(message, start, end)
        })
    }

    fn expression(&mut self) -> Result<Expression> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.unexpected());
        }
        let mut left = self.and()?;
        while self.take_word("or")? {
            left = binary(Binary::Or, left, self.and()?);
        }
        self.depth -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression> {
        let mut left = self.not()?;
        while self.take_word("and")? {
            left = binary(Binary::And, left, self.not()?);
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression> {
        let mut is_not = false;
        while self.take_word("not")? {
            is_not = !is_not;
        }
        let inner = self.comparison()?;
        Ok(negated_if(is_not, inner))
    }

    fn comparison(&mut self) -> Result<Expression> {
        let left = self.additive()?;
        let operators = [
            ("=", Binary::Equal),
            ("==", Binary::Equal),
            ("!=", Binary::NotEqual),
            ("<", Binary::Less),
            ("<=", Binary::LessOrEqual),
            (">", Binary::Greater),
            (">=", Binary::GreaterOrEqual),
        ];
        for (symbol, operator) in operators {
            if self.take_symbol(symbol)? {
                return Ok(binary(operator, left, self.additive()?));
            }
        }
        if self.take_symbol("=~")? {
            return self.matcher(left);
        }
        let is_not = self.take_word("not")?;
        if self.take_word("like")? {
            return Ok(negated_if(is_not, self.matcher(left)?));
        }
        if self.take_word("in")? {
            self.expect("[")?;
            let all = self.list(Self::additive)?;
            self.expect("]")?;
            return Ok(negated_if(is_not, Expression::In(Box::new(left), all)));
        }
        match is_not {
            true => Err(self.unexpected()),
            false => Ok(left),
        }
    }

    fn matcher(&mut self, left: Expression) -> Result<Expression> {
        let matcher = match self.regex()? {
            Some((text, start, end)) => Matcher::Regex(self.compile(&text, start, end)?),
            None => match self.take()? {
                Spanned {
                    token: Token::Text(text),
                    ..
                } => Matcher::Text(text),
                other => {
                    let text = &self.lexer.text()[other.start..other.end];
                    let message = format!("unexpected symbol found {text}");
                    return Err(self.lexer.error(message, other.start, other.end));
                }
            },
        };
        Ok(Expression::Like(Box::new(left), matcher))
    }

    fn additive(&mut self) -> Result<Expression> {
        let mut left = self.multiplicative()?;
        loop {
            let operator = match &self.next.token {
                Token::Symbol("+") => Binary::Add,
                Token::Symbol("-") => Binary::Subtract,
                _ => return Ok(left),
            };
            self.take()?;
            left = binary(operator, left, self.multiplicative()?);
        }
    }

    fn multiplicative(&mut self) -> Result<Expression> {
        let mut left = self.power()?;
        loop {
            let operator = match &self.next.token {
                Token::Symbol("*") => Binary::Multiply,
                Token::Symbol("/") => Binary::Divide,
                Token::Symbol("%") => Binary::Remainder,
                _ => return Ok(left),
            };
            self.take()?;
            left = binary(operator, left, self.power()?);
        }
    }

    fn power(&mut self) -> Result<Expression> {
        let left = self.unary()?;
        match self.take_symbol("^")? {
            true => Ok(binary(Binary::Power, left, self.unary()?)),
            false => Ok(left),
        }
    }

    fn unary(&mut self) -> Result<Expression> {
        let mut is_minus = false;
        while self.take_symbol("-")? {
            is_minus = !is_minus;
        }
        let inner = self.primary()?;
        match is_minus {
            true => Ok(Expression::Unary(Unary::Minus, Box::new(inner))),
            false => Ok(inner),
        }
    }

    fn primary(&mut self) -> Result<Expression> {
        if self.take_symbol("(")? {
            let inner = self.expression()?;
            self.expect(")")?;
            return Ok(inner);
        }
        match self.next.token.clone() {
            Token::Number(number) => {
                self.take()?;
                Ok(Expression::Literal(Value::Number(number)))
            }
            Token::Text(text) => {
                self.take()?;
                Ok(Expression::Literal(Value::Text(text)))
            }
            Token::Quoted(name) => {
                self.take()?;
                Ok(Expression::Field(name))
            }
            Token::Name(name) => {
                let start = self.take()?.start;
                match self.take_symbol("(")? {
                    true => self.call(&name, start),
                    false if name == "true" || name == "false" => {
                        Ok(Expression::Literal(Value::Boolean(name == "true")))
                    }
                    false => Ok(Expression::Field(name)),
                }
            }
            _ => Err(self.unexpected()),
        }
    }

    fn call(&mut self, name: &str, start: usize) -> Result<Expression> {
        let rounding = match name.to_ascii_lowercase().as_str() {
            "bin" => {
                let Token::Period(ms) = self.next.token else {
                    return Err(self.unexpected());
                };
                self.take()?;
                self.expect(")")?;
                let time = Expression::Field("@timestamp".to_owned());
                return self.bin(Rounding::Floor, time, ms, start);
            }
            "datefloor" => Some(Rounding::Floor),
            "dateceil" => Some(Rounding::Ceiling),
            _ => None,
        };
        if let Some(rounding) = rounding {
            let of = self.expression()?;
            self.expect(",")?;
            let Token::Period(ms) = self.next.token else {
                return Err(self.unexpected());
            };
            self.take()?;
            self.expect(")")?;
            return self.bin(rounding, of, ms, start);
        }
        if let Some(kind) = AggregateKind::named(name) {
            return self.aggregate(kind, name, start);
        }
        let Some((function, least, most)) = Function::named(name) else {
            let message = format!("there is no function {name}, or it is not supported by Lambent");
            return Err(self.lexer.error(message, start, start + name.len()));
        };
        let arguments = match self.is_symbol(")") {
            true => Vec::new(),
            false => self.list(Self::expression)?,
        };
        self.expect(")")?;
        match (least..=most).contains(&arguments.len()) {
            true => Ok(Expression::Call(function, arguments)),
            false => {
                let message = format!("{name} has a wrong number of arguments");
                Err(self.lexer.error(message, start, self.end))
            }
        }
    }

    fn bin(&self, rounding: Rounding, of: Expression, ms: i64, start: usize) -> Result<Expression> {
        match ms > 0 {
            true => Ok(Expression::Bin(rounding, Box::new(of), ms)),
            false => Err(self.lexer.error("a period of nothing", start, self.end)),
        }
    }

    fn aggregate(&mut self, kind: AggregateKind, name: &str, start: usize) -> Result<Expression> {
        let counts = kind == AggregateKind::Count;
        let mut aggregate = Aggregate {
            kind,
            of: None,
            percent: 50.0,
        };
        if counts && (self.is_symbol(")") || self.take_symbol("*")?) {
            // The records themselves.
        } else {
            let of = self.expression()?;
            if of.has_aggregate() {
                let message = format!("an aggregation within {name}");
                return Err(self.lexer.error(message, start, self.end));
            }
            aggregate.of = Some(of);
        }
        if name.eq_ignore_ascii_case("pct") {
            self.expect(",")?;
            let Token::Number(percent) = self.next.token else {
                return Err(self.unexpected());
            };
            self.take()?;
            aggregate.percent = percent;
        }
        self.expect(")")?;
        Ok(Expression::Aggregate(Box::new(aggregate)))
    }
}

fn binary(operator: Binary, left: Expression, right: Expression) -> Expression {
    Expression::Binary(operator, Box::new(left), Box::new(right))
}

fn negated_if(is_not: bool, inner: Expression) -> Expression {
    match is_not {
        true => Expression::Unary(Unary::Not, Box::new(inner)),
        false => inner,
    }
}
