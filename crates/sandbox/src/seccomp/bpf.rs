//! From verdicts to the kernel's classic BPF.
//!
//! ```text
//!   load arch; other than ours: kill
//!   load number; binary search over the ranges; leaves return or jump to
//!   the conditions, which load an argument, compare, and return
//! ```

use super::{Condition, Test};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    /// If all of them hold.
    AllowIf(Vec<Condition>),
    /// Fails with this error.
    Refuse(u16),
}

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const RETURN_ALLOW: u32 = 0x7fff_0000;
const RETURN_ERRNO: u32 = 0x0005_0000;
const RETURN_KILL: u32 = 0x8000_0000;
const EPERM: u32 = 1;

// struct seccomp_data
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u16,
    /// How many instructions to skip if the comparison holds, and if not.
    yes: u8,
    no: u8,
    value: u32,
}

impl Instruction {
    fn new(code: u16, value: u32) -> Self {
        Instruction {
            code,
            yes: 0,
            no: 0,
            value,
        }
    }

    /// struct sock_filter; both architectures are little-endian.
    fn bits(self) -> u64 {
        u64::from(self.code)
            | u64::from(self.yes) << 16
            | u64::from(self.no) << 24
            | u64::from(self.value) << 32
    }
}

pub fn compile(ranges: &[(u32, Verdict)]) -> Vec<u64> {
    assemble(ranges)
        .into_iter()
        .map(Instruction::bits)
        .collect()
}

fn assemble(ranges: &[(u32, Verdict)]) -> Vec<Instruction> {
    let mut conditions: Vec<&[Condition]> = Vec::new();
    let mut tree = search(ranges, &mut conditions);
    let blocks: Vec<_> = conditions.into_iter().map(block).collect();
    // A leaf that jumps carries its conditions' index; now the distances are known.
    let length = tree.len();
    for (at, instruction) in tree.iter_mut().enumerate() {
        if instruction.code == JUMP {
            let before: usize = blocks[..instruction.value as usize]
                .iter()
                .map(Vec::len)
                .sum();
            instruction.value = (length - at - 1 + before) as u32;
        }
    }
    let mut program = vec![
        Instruction::new(LOAD, ARCHITECTURE),
        Instruction {
            yes: 1,
            ..Instruction::new(IF_EQUAL, ARCH)
        },
        Instruction::new(RETURN, RETURN_KILL),
        Instruction::new(LOAD, NUMBER),
    ];
    program.extend(tree);
    program.extend(blocks.into_iter().flatten());
    program
}

fn search<'a>(
    ranges: &'a [(u32, Verdict)],
    conditions: &mut Vec<&'a [Condition]>,
) -> Vec<Instruction> {
    if let [(_, verdict)] = ranges {
        return vec![match verdict {
            Verdict::Allow => Instruction::new(RETURN, RETURN_ALLOW),
            Verdict::Refuse(errno) => Instruction::new(RETURN, RETURN_ERRNO | u32::from(*errno)),
            Verdict::AllowIf(all) => {
                conditions.push(all);
                Instruction::new(JUMP, conditions.len() as u32 - 1)
            }
        }];
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let below = search(low, conditions);
    let above = search(high, conditions);
    let skip = u8::try_from(below.len()).expect("the list is short enough, which a test checks");
    let mut tree = vec![Instruction {
        yes: skip,
        ..Instruction::new(IF_AT_LEAST, high[0].0)
    }];
    tree.extend(below);
    tree.extend(above);
    tree
}

/// One condition after the other; whoever comes through all of them is allowed.
fn block(conditions: &[Condition]) -> Vec<Instruction> {
    let allow = Instruction::new(RETURN, RETURN_ALLOW);
    let checks = conditions.iter().flat_map(check);
    checks.chain([allow]).collect()
}

/// Goes on behind itself if the condition holds.
fn check(condition: &Condition) -> Vec<Instruction> {
    let refuse = Instruction::new(RETURN, RETURN_ERRNO | EPERM);
    let go_on = Instruction::new(JUMP, 1);
    let load = Instruction::new(LOAD, ARGUMENTS + 8 * u32::from(condition.argument));
    // To the instruction that follows all comparisons, or to the one behind that.
    let any_of = |values: &[u32]| -> Vec<Instruction> {
        let compare = values.iter().enumerate().map(|(at, value)| Instruction {
            yes: u8::try_from(values.len() - at).expect("a handful of values"),
            ..Instruction::new(IF_EQUAL, *value)
        });
        compare.collect()
    };
    match &condition.test {
        Test::In(values) => [vec![load], any_of(values), vec![refuse]].concat(),
        Test::NotIn(values) => [vec![load], any_of(values), vec![go_on, refuse]].concat(),
        Test::Clear(mask) => {
            let any_bit = Instruction {
                no: 1,
                ..Instruction::new(IF_ANY_BIT, *mask)
            };
            vec![load, any_bit, refuse]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ALLOWED, Rule, parse, verdicts},
        *,
    };

    type Arguments = [u32; 6];

    /// What the kernel would do, and how many instructions it takes.
    fn run(program: &[Instruction], arch: u32, number: u32, arguments: &Arguments) -> (u32, usize) {
        let (mut at, mut loaded, mut steps) = (0, 0, 0);
        loop {
            let one = program[at];
            steps += 1;
            at += 1;
            let skip = |holds| usize::from(if holds { one.yes } else { one.no });
            match one.code {
                LOAD if one.value == NUMBER => loaded = number,
                LOAD if one.value == ARCHITECTURE => loaded = arch,
                LOAD => loaded = arguments[(one.value - ARGUMENTS) as usize / 8],
                JUMP => at += one.value as usize,
                IF_EQUAL => at += skip(loaded == one.value),
                IF_AT_LEAST => at += skip(loaded >= one.value),
                IF_ANY_BIT => at += skip(loaded & one.value != 0),
                RETURN => return (one.value, steps),
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn holds(condition: &Condition, arguments: &Arguments) -> bool {
        let argument = arguments[usize::from(condition.argument)];
        match &condition.test {
            Test::In(values) => values.contains(&argument),
            Test::NotIn(values) => !values.contains(&argument),
            Test::Clear(mask) => argument & mask == 0,
        }
    }

    fn expected(rules: &[(u32, Rule)], number: u32, arguments: &Arguments) -> u32 {
        let highest = rules.last().expect("not empty").0;
        match rules
            .iter()
            .find(|(known, _)| *known == number)
            .map(|(_, rule)| rule)
        {
            Some(Rule::Allow) => RETURN_ALLOW,
            Some(Rule::NotImplemented) => RETURN_ERRNO | 38,
            Some(Rule::Done) => RETURN_ERRNO,
            Some(Rule::If(conditions)) => {
                if conditions.iter().all(|one| holds(one, arguments)) {
                    RETURN_ALLOW
                } else {
                    RETURN_ERRNO | EPERM
                }
            }
            None if number > highest => RETURN_ERRNO | 38,
            None => RETURN_ERRNO | EPERM,
        }
    }

    #[test]
    fn the_program_says_what_the_list_says() {
        let rules = parse(ALLOWED).expect("parses");
        let ranges = verdicts(&rules);
        let program = assemble(&ranges);
        let mut most = 0;
        // Values that some rule asks for, and some that none does; in two places at once.
        let values = [
            0,
            1,
            2,
            4,
            6,
            16,
            17,
            40,
            132,
            0x5412,
            0x1_0000,
            0x4_0000,
            0x1000_0000,
            0x200_0000,
            u32::MAX,
        ];
        let pairs = values
            .iter()
            .flat_map(|a| values.iter().map(move |b| (*a, *b)));
        let pairs: Vec<Arguments> = pairs.map(|(a, b)| [a, b, b, b, a, b]).collect();
        for number in (0..600).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
            for arguments in &pairs {
                let (verdict, steps) = run(&program, ARCH, number, arguments);
                assert_eq!(
                    verdict,
                    expected(&rules, number, arguments),
                    "{number} {arguments:#x?}"
                );
                most = most.max(steps);
            }
        }
        assert!(most < 32, "the tree and its conditions are {most} deep");
        assert!(program.len() < 400, "{} instructions", program.len());
    }

    #[test]
    fn another_architecture_is_killed() {
        let program = assemble(&verdicts(&parse(ALLOWED).expect("parses")));
        assert_eq!(run(&program, 0x4000_0003, 1, &[0; 6]).0, RETURN_KILL);
    }
}
