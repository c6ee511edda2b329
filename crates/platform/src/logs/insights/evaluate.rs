//! The values of expressions.

use super::{
    discover::Record,
    expression::{Binary, Expression, Rounding, Unary},
    value::Value,
};

/// Whom an expression asks for what it does not have itself.
pub struct Scope<'a> {
    pub record: &'a Record,
    /// Of a stats command's aggregates.
    pub slots: &'a [Value],
    pub now_ms: i64,
}

impl Scope<'_> {
    pub fn evaluate(&self, expression: &Expression) -> Value {
        match expression {
            Expression::Literal(value) => value.clone(),
            Expression::Field(name) => self.record.get(name),
            Expression::Slot(at) => self.slots.get(*at).cloned().unwrap_or_default(),
            // Nothing but stats has them, which takes them out.
            Expression::Aggregate(_) => Value::Null,
            Expression::Unary(Unary::Not, inner) => (!self.evaluate(inner).is_true()).into(),
            Expression::Unary(Unary::Minus, inner) => {
                let number = self.evaluate(inner).number();
                number.map_or(Value::Null, |number| (-number).into())
            }
            Expression::Binary(operator, left, right) => self.binary(*operator, left, right),
            Expression::Call(function, arguments) => {
                let arguments: Vec<Value> =
                    arguments.iter().map(|one| self.evaluate(one)).collect();
                function.call(&arguments, self.now_ms)
            }
            Expression::Bin(rounding, of, period_ms) => {
                let Some(at) = self.evaluate(of).number() else {
                    return Value::Null;
                };
                let floor = (at as i64).div_euclid(*period_ms) * period_ms;
                match rounding {
                    Rounding::Ceiling if floor < at as i64 => Value::Time(floor + period_ms),
                    _ => Value::Time(floor),
                }
            }
            Expression::Like(of, matcher) => {
                let text = self.evaluate(of);
                text.text()
                    .is_some_and(|text| matcher.matches(&text))
                    .into()
            }
            Expression::In(of, all) => {
                let value = self.evaluate(of);
                let is_it = |one: &Expression| {
                    value.compare(&self.evaluate(one)) == Some(std::cmp::Ordering::Equal)
                };
                all.iter().any(is_it).into()
            }
        }
    }

    fn binary(&self, operator: Binary, left: &Expression, right: &Expression) -> Value {
        let left = self.evaluate(left);
        match operator {
            Binary::And if !left.is_true() => return false.into(),
            Binary::Or if left.is_true() => return true.into(),
            _ => {}
        }
        let right = self.evaluate(right);
        let arithmetic = |of: fn(f64, f64) -> f64| {
            let numbers = left.number().zip(right.number());
            numbers.map_or(Value::Null, |(left, right)| of(left, right).into())
        };
        let ordering = || left.compare(&right);
        match operator {
            Binary::And | Binary::Or => right.is_true().into(),
            Binary::Equal => ordering().is_some_and(|order| order.is_eq()).into(),
            // What is not there is not equal to anything.
            Binary::NotEqual => ordering().is_none_or(|order| order.is_ne()).into(),
            Binary::Less => ordering().is_some_and(|order| order.is_lt()).into(),
            Binary::LessOrEqual => ordering().is_some_and(|order| order.is_le()).into(),
            Binary::Greater => ordering().is_some_and(|order| order.is_gt()).into(),
            Binary::GreaterOrEqual => ordering().is_some_and(|order| order.is_ge()).into(),
            Binary::Add => arithmetic(|left, right| left + right),
            Binary::Subtract => arithmetic(|left, right| left - right),
            Binary::Multiply => arithmetic(|left, right| left * right),
            Binary::Divide => arithmetic(|left, right| left / right),
            Binary::Remainder => arithmetic(|left, right| left % right),
            Binary::Power => arithmetic(f64::powf),
        }
    }
}
