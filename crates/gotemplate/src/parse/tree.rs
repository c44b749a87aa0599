//! Tokens to tree (`text/template/parse/parse.go`).

use std::sync::Arc;

use golang::strconv::{quote, unquote};

use super::lex::{Item, Kind, lex};
use super::node::{Branch, Command, Expr, ExprKind, Node, Pipe, Tree};
use super::number::Number;
use crate::{Error, Functions};

/// Control structures and parentheses inside of each other, together. Go allows 10,000 parentheses;
/// this much fits the stack of any thread.
const MAX_DEPTH: usize = 100;

struct Parser<'p> {
    name: Arc<str>,
    text: Arc<str>,
    functions: &'p Functions<'p>,
    items: std::vec::IntoIter<Item>,
    /// Up to three tokens of look-ahead; the first is what errors take their line from.
    tokens: [Item; 3],
    peeked: usize,
    variables: Vec<String>,
    trees: Vec<Tree>,
    range_depth: usize,
    depth: usize,
    /// The line an open action began on, 0 outside of actions.
    action_line: usize,
}

/// What ends a list of nodes.
#[derive(Debug, PartialEq)]
enum Ending {
    End,
    /// Followed by `if` or `with`, which is still to be read.
    ElseChain,
    Else,
}

enum Step {
    Node(Node),
    Ending(Ending),
}

/// The template and all that it defines, the definitions first.
pub(crate) fn parse(name: &str, text: &str, functions: &Functions<'_>) -> Result<Vec<Tree>, Error> {
    let eof = Item {
        kind: Kind::Eof,
        pos: 0,
        text: String::new(),
        line: 1,
    };
    let mut parser = Parser {
        name: name.into(),
        text: text.into(),
        functions,
        items: lex(text).into_iter(),
        tokens: [eof.clone(), eof.clone(), eof],
        peeked: 0,
        variables: vec!["$".to_owned()],
        trees: Vec::new(),
        range_depth: 0,
        depth: 0,
        action_line: 0,
    };
    let root = parser.top()?;
    parser.add(name.to_owned(), root)?;
    Ok(parser.trees)
}

impl Parser<'_> {
    fn next(&mut self) -> Item {
        if self.peeked > 0 {
            self.peeked -= 1;
        } else {
            let last = self.tokens[0].clone();
            // Behind the end or an error there is only more of it.
            self.tokens[0] = self.items.next().unwrap_or(last);
        }
        self.tokens[self.peeked].clone()
    }

    fn backup(&mut self) {
        self.peeked += 1;
    }

    /// Two tokens back: `first`, then the one just read.
    fn backup2(&mut self, first: Item) {
        self.tokens[1] = first;
        self.peeked = 2;
    }

    /// Three tokens back, in reading order.
    fn backup3(&mut self, first: Item, second: Item) {
        self.tokens[1] = second;
        self.tokens[2] = first;
        self.peeked = 3;
    }

    fn peek(&mut self) -> Item {
        if self.peeked > 0 {
            return self.tokens[self.peeked - 1].clone();
        }
        let item = self.next();
        self.peeked = 1;
        item
    }

    fn next_non_space(&mut self) -> Item {
        loop {
            let item = self.next();
            if item.kind != Kind::Space {
                return item;
            }
        }
    }

    fn peek_non_space(&mut self) -> Item {
        let item = self.next_non_space();
        self.backup();
        item
    }

    fn error<T>(&self, message: impl std::fmt::Display) -> Result<T, Error> {
        let line = self.tokens[0].line;
        Err(Error(format!("template: {}:{line}: {message}", self.name)))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Item, Error> {
        let item = self.next_non_space();
        if item.kind != kind {
            return self.unexpected(&item, context);
        }
        Ok(item)
    }

    fn unexpected<T>(&self, item: &Item, context: &str) -> Result<T, Error> {
        if item.kind != Kind::Error {
            return self.error(format!("unexpected {item} in {context}"));
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != item.line {
            let words = if item.text.ends_with(" action") {
                " started at"
            } else {
                " in action started at"
            };
            extra = format!("{words} {}:{}", self.name, self.action_line);
        }
        self.error(format!("{item}{extra}"))
    }

    fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error("max expression depth exceeded");
        }
        Ok(())
    }

    fn add(&mut self, name: String, root: Vec<Node>) -> Result<(), Error> {
        let tree = Tree {
            name,
            parse_name: Arc::clone(&self.name),
            text: Arc::clone(&self.text),
            root,
        };
        match self.trees.iter_mut().find(|known| known.name == tree.name) {
            Some(known) if known.is_empty() => *known = tree,
            Some(_) if tree.is_empty() => {}
            Some(_) => {
                let name = quote(&tree.name);
                return self.error(format!("template: multiple definition of template {name}"));
            }
            None => self.trees.push(tree),
        }
        Ok(())
    }

    fn top(&mut self) -> Result<Vec<Node>, Error> {
        let mut root = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let delim = self.next();
                if self.next_non_space().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.backup2(delim);
            }
            match self.text_or_action()? {
                Step::Node(node) => root.push(node),
                Step::Ending(ending) => return self.error(format!("unexpected {ending}")),
            }
        }
        Ok(root)
    }

    /// Reads what has its own variables: a definition or a block.
    fn body(&mut self, context: &str) -> Result<Vec<Node>, Error> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let range_depth = std::mem::take(&mut self.range_depth);
        let (list, ending) = self.list()?;
        self.variables = outer;
        self.range_depth = range_depth;
        if ending != Ending::End {
            return self.error(format!("unexpected {ending} in {context}"));
        }
        Ok(list)
    }

    fn definition(&mut self) -> Result<(), Error> {
        let context = "define clause";
        let item = self.next_non_space();
        let name = self.template_name(&item, context)?;
        self.expect(Kind::RightDelim, context)?;
        let list = self.body(context)?;
        self.add(name, list)
    }

    fn list(&mut self) -> Result<(Vec<Node>, Ending), Error> {
        let mut list = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Step::Node(node) => list.push(node),
                Step::Ending(ending) => return Ok((list, ending)),
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Result<Step, Error> {
        let item = self.next_non_space();
        match item.kind {
            Kind::Text => Ok(Step::Node(Node::Text(item.text))),
            Kind::LeftDelim => {
                self.action_line = item.line;
                let step = self.action();
                self.action_line = 0;
                step
            }
            _ => self.unexpected(&item, "input"),
        }
    }

    fn action(&mut self) -> Result<Step, Error> {
        let item = self.next_non_space();
        let node = match item.kind {
            Kind::Block => self.block()?,
            Kind::Break | Kind::Continue => {
                let word = format!("{{{{{}}}}}", item.text);
                let next = self.next_non_space();
                if next.kind != Kind::RightDelim {
                    return self.unexpected(&next, &word);
                }
                if self.range_depth == 0 {
                    return self.error(format!("{word} outside {{{{range}}}}"));
                }
                if item.kind == Kind::Break {
                    Node::Break
                } else {
                    Node::Continue
                }
            }
            Kind::Else => {
                let next = self.peek_non_space();
                if matches!(next.kind, Kind::If | Kind::With) {
                    return Ok(Step::Ending(Ending::ElseChain));
                }
                self.expect(Kind::RightDelim, "else")?;
                return Ok(Step::Ending(Ending::Else));
            }
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Step::Ending(Ending::End));
            }
            Kind::If => Node::If(self.control("if")?),
            Kind::Range => Node::Range(self.control("range")?),
            Kind::With => Node::With(self.control("with")?),
            Kind::Template => self.template()?,
            _ => {
                self.backup();
                let pos = self.peek().pos;
                // Variables declared here live until the end of the enclosing structure.
                let pipe = self.pipeline("command", Kind::RightDelim)?;
                Node::Action { pos, pipe }
            }
        };
        Ok(Step::Node(node))
    }

    fn control(&mut self, context: &'static str) -> Result<Branch, Error> {
        self.enter()?;
        let variables = self.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let ranges = usize::from(context == "range");
        self.range_depth += ranges;
        let (list, ending) = self.list()?;
        self.range_depth -= ranges;
        let else_list = match ending {
            Ending::End => None,
            Ending::ElseChain => {
                let next = self.peek_non_space();
                match (context, next.kind) {
                    ("if", Kind::If) => {
                        self.next_non_space();
                        Some(vec![Node::If(self.control("if")?)])
                    }
                    ("with", Kind::With) => {
                        self.next_non_space();
                        Some(vec![Node::With(self.control("with")?)])
                    }
                    _ => Some(self.else_list()?),
                }
            }
            Ending::Else => Some(self.else_list()?),
        };
        self.variables.truncate(variables);
        self.depth -= 1;
        Ok(Branch {
            pipe,
            list,
            else_list,
        })
    }

    fn else_list(&mut self) -> Result<Vec<Node>, Error> {
        let (list, ending) = self.list()?;
        if ending != Ending::End {
            return self.error(format!("expected end; found {ending}"));
        }
        Ok(list)
    }

    fn block(&mut self) -> Result<Node, Error> {
        let context = "block clause";
        self.enter()?;
        let item = self.next_non_space();
        let name = self.template_name(&item, context)?;
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let list = self.body(context)?;
        self.add(name.clone(), list)?;
        self.depth -= 1;
        Ok(Node::Template {
            pos: item.pos,
            name,
            pipe: Some(pipe),
        })
    }

    fn template(&mut self) -> Result<Node, Error> {
        let context = "template clause";
        let item = self.next_non_space();
        let name = self.template_name(&item, context)?;
        let mut pipe = None;
        if self.next_non_space().kind != Kind::RightDelim {
            self.backup();
            pipe = Some(self.pipeline(context, Kind::RightDelim)?);
        }
        Ok(Node::Template {
            pos: item.pos,
            name,
            pipe,
        })
    }

    fn template_name(&mut self, item: &Item, context: &str) -> Result<String, Error> {
        match item.kind {
            Kind::String | Kind::RawString => self.unquoted(&item.text),
            _ => self.unexpected(item, context),
        }
    }

    fn unquoted(&self, text: &str) -> Result<String, Error> {
        unquote(text).or_else(|e| self.error(e))
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, Error> {
        let mut pipe = Pipe {
            pos: self.peek_non_space().pos,
            assigns: false,
            variables: Vec::new(),
            commands: Vec::new(),
        };
        self.declarations(&mut pipe, context)?;
        loop {
            let item = self.next_non_space();
            match item.kind {
                kind if kind == end => {
                    self.check(&pipe, context)?;
                    return Ok(pipe);
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.backup();
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&item, context),
            }
        }
    }

    /// `$x :=`, `$x =`, and in a range `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), Error> {
        loop {
            let variable = self.peek_non_space();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            self.next();
            let after = self.peek();
            let next = self.peek_non_space();
            let comma = next.kind == Kind::Char && next.text == ",";
            if matches!(next.kind, Kind::Assign | Kind::Declare) {
                pipe.assigns = next.kind == Kind::Assign;
            } else if !comma {
                if after.kind == Kind::Space {
                    self.backup3(variable, after);
                } else {
                    self.backup2(variable);
                }
                return Ok(());
            }
            self.next_non_space();
            pipe.variables.push(variable.text.clone());
            self.variables.push(variable.text);
            if !comma {
                return Ok(());
            }
            if context != "range" || pipe.variables.len() >= 2 {
                return self.error(format!("too many declarations in {context}"));
            }
            let next = self.peek_non_space();
            if !matches!(
                next.kind,
                Kind::Variable | Kind::RightDelim | Kind::RightParen
            ) {
                return self.error("range can only initialize variables");
            }
        }
    }

    fn check(&self, pipe: &Pipe, context: &str) -> Result<(), Error> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (at, command) in pipe.commands.iter().enumerate().skip(1) {
            if let Some(first) = command.args.first()
                && matches!(
                    first.kind,
                    ExprKind::Bool(_)
                        | ExprKind::Dot
                        | ExprKind::Nil
                        | ExprKind::Number(_)
                        | ExprKind::String { .. }
                )
            {
                let stage = at + 1;
                return self.error(format!("non executable command in pipeline stage {stage}"));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command, Error> {
        let mut args = Vec::new();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                args.push(operand);
            }
            let item = self.next();
            match item.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.backup(),
                Kind::Pipe => {}
                _ => return self.unexpected(&item, "operand"),
            }
            break;
        }
        if args.is_empty() {
            return self.error("empty command");
        }
        Ok(Command { args })
    }

    fn operand(&mut self) -> Result<Option<Expr>, Error> {
        let Some(mut expr) = self.term()? else {
            return Ok(None);
        };
        if self.peek().kind != Kind::Field {
            return Ok(Some(expr));
        }
        let pos = self.peek().pos;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.next().text[1..].to_owned());
        }
        expr = match expr.kind {
            ExprKind::Field(mut all) => {
                all.append(&mut names);
                let kind = ExprKind::Field(all);
                Expr { pos, kind }
            }
            ExprKind::Variable(mut all) => {
                all.append(&mut names);
                let kind = ExprKind::Variable(all);
                Expr { pos, kind }
            }
            ExprKind::Bool(_)
            | ExprKind::String { .. }
            | ExprKind::Number(_)
            | ExprKind::Nil
            | ExprKind::Dot => {
                let term = quote(&expr.to_string());
                return self.error(format!("unexpected . after term {term}"));
            }
            _ => {
                let kind = ExprKind::Chain(Box::new(expr), names);
                Expr { pos, kind }
            }
        };
        Ok(Some(expr))
    }

    fn term(&mut self) -> Result<Option<Expr>, Error> {
        let item = self.next_non_space();
        let kind = match item.kind {
            Kind::Identifier => {
                if !self.functions.contains(&item.text) {
                    let name = quote(&item.text);
                    return self.error(format!("function {name} not defined"));
                }
                ExprKind::Function(item.text)
            }
            Kind::Dot => ExprKind::Dot,
            Kind::Nil => ExprKind::Nil,
            Kind::Variable => {
                if !self.variables.contains(&item.text) {
                    let name = quote(&item.text);
                    return self.error(format!("undefined variable {name}"));
                }
                ExprKind::Variable(vec![item.text])
            }
            Kind::Field => ExprKind::Field(vec![item.text[1..].to_owned()]),
            Kind::Bool => ExprKind::Bool(item.text == "true"),
            Kind::CharConstant => {
                let number = Number::character(&item.text);
                ExprKind::Number(number.or_else(|e| self.error(e))?)
            }
            Kind::Complex | Kind::Number => {
                let number = Number::parse(&item.text);
                ExprKind::Number(number.or_else(|e| self.error(e))?)
            }
            Kind::LeftParen => {
                self.enter()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                let pos = pipe.pos;
                let kind = ExprKind::Pipe(Box::new(pipe));
                return Ok(Some(Expr { pos, kind }));
            }
            Kind::String | Kind::RawString => {
                let text = self.unquoted(&item.text)?.into();
                ExprKind::String {
                    quoted: item.text,
                    text,
                }
            }
            _ => {
                self.backup();
                return Ok(None);
            }
        };
        Ok(Some(Expr {
            pos: item.pos,
            kind,
        }))
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Ending::End => "{{end}}",
            Ending::Else | Ending::ElseChain => "{{else}}",
        })
    }
}
