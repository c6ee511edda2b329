//! The extensions of an environment: which have been found and registered, which wait for an event,
//! and what each is told. Pure state, which the link holds under its lock.
//!
//! External extensions are processes of their own, found in `/opt/extensions`; internal ones are
//! part of the runtime's process and register while it starts. Refuses what Lambda's own state
//! machine refuses, in its words.

use tokio::sync::oneshot;
use uuid::Uuid;

/// As many as Lambda takes.
pub const EXTENSIONS_MAX: usize = 10;

#[derive(Debug, Default)]
pub struct Extensions {
    all: Vec<Extension>,
    /// The runtime has started: nobody registers any more.
    closed: bool,
}

#[derive(Debug)]
struct Extension {
    id: Uuid,
    name: String,
    external: bool,
    wants: Wants,
    phase: Phase,
    /// An event that a broken connection did not take.
    pending: Option<Event>,
}

/// Which events an extension has registered for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    pub invoke: bool,
    pub shutdown: bool,
}

#[derive(Debug)]
enum Phase {
    /// Its process runs and has not registered.
    Started,
    Registered,
    /// It asks for an event.
    Ready(oneshot::Sender<Event>),
    /// It has one.
    Running,
    Exited,
}

impl Phase {
    /// Lambda's name for it.
    fn name(&self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::Registered => "Registered",
            Self::Ready(_) => "Ready",
            Self::Running => "Running",
            Self::Exited => "Exited",
        }
    }
}

/// What an extension is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Invoke {
        request_id: String,
        deadline_ms: i64,
        invoked_function_arn: String,
        trace_id: String,
    },
    Shutdown {
        reason: Reason,
        deadline_ms: i64,
    },
}

/// Why an environment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Spindown,
    Timeout,
    Failure,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spindown => "SPINDOWN",
            Self::Timeout => "TIMEOUT",
            Self::Failure => "FAILURE",
        }
    }
}

/// Why a call of an extension is refused: Lambda's type, and its words.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub kind: &'static str,
    pub message: String,
}

impl Refused {
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message }
    }
}

impl Extensions {
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn any_external(&self) -> bool {
        self.all.iter().any(|one| one.external)
    }

    /// External extensions that have been started. False if they are too many.
    pub fn found(&mut self, names: impl Iterator<Item = String>) -> bool {
        for name in names {
            self.add(name, true, Wants::default(), Phase::Started);
        }
        self.all.len() <= EXTENSIONS_MAX
    }

    fn add(&mut self, name: String, external: bool, wants: Wants, phase: Phase) -> Uuid {
        let id = Uuid::new_v4();
        self.all.push(Extension {
            id,
            name,
            external,
            wants,
            phase,
            pending: None,
        });
        id
    }

    /// An external extension that has been found, or an internal one.
    pub fn register(&mut self, name: &str, events: &[String]) -> Result<Uuid, Refused> {
        if name.is_empty() {
            let kind = "Extension.InvalidExtensionName";
            return Err(Refused::new(kind, "Empty extension name"));
        }
        let external = self
            .all
            .iter_mut()
            .find(|one| one.external && one.name == name);
        let Some(extension) = external else {
            return self.register_internal(name, wanted(events, false)?);
        };
        let wants = wanted(events, true)?;
        let Phase::Started = extension.phase else {
            return Err(not_allowed(extension, "Registered"));
        };
        extension.wants = wants;
        extension.phase = Phase::Registered;
        Ok(extension.id)
    }

    fn register_internal(&mut self, name: &str, wants: Wants) -> Result<Uuid, Refused> {
        if self.closed {
            let kind = "Extension.RegistrationClosed";
            return Err(Refused::new(kind, "Extension registration closed already"));
        }
        if self.all.iter().any(|one| one.name == name) {
            let message = "Extension with this name already registered";
            return Err(Refused::new("Extension.InvalidExtensionState", message));
        }
        if self.all.len() >= EXTENSIONS_MAX {
            let message = format!("Extension limit ({EXTENSIONS_MAX}) reached");
            return Err(Refused::new("Extension.TooManyExtensions", message));
        }
        Ok(self.add(name.to_owned(), false, wants, Phase::Registered))
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    /// It asks for an event.
    pub fn next(&mut self, id: Uuid) -> Result<oneshot::Receiver<Event>, Refused> {
        let extension = self.of(id)?;
        match extension.phase {
            Phase::Started | Phase::Exited => return Err(not_allowed(extension, "Ready")),
            Phase::Registered | Phase::Ready(_) | Phase::Running => {}
        }
        let (sender, event) = oneshot::channel();
        match extension.pending.take() {
            Some(pending) => {
                extension.phase = Phase::Running;
                drop(sender.send(pending));
            }
            None => extension.phase = Phase::Ready(sender),
        }
        Ok(event)
    }

    /// Which extension says that it cannot go on; its name.
    pub fn fails(&mut self, id: Uuid) -> Result<String, Refused> {
        let extension = self.of(id)?;
        match extension.phase {
            Phase::Started | Phase::Exited => Err(not_allowed(extension, "Exited")),
            _ => Ok(extension.name.clone()),
        }
    }

    fn of(&mut self, id: Uuid) -> Result<&mut Extension, Refused> {
        let found = self.all.iter_mut().find(|one| one.id == id);
        let kind = "Extension.UnknownExtensionIdentifier";
        found.ok_or_else(|| Refused::new(kind, format!("Unknown extension {id}")))
    }

    pub fn name(&mut self, id: Uuid) -> Result<String, Refused> {
        self.of(id).map(|extension| extension.name.clone())
    }

    /// Those that take part, and what they are told of.
    pub fn ready(&self) -> Vec<(String, Vec<&'static str>)> {
        let events = |wants: Wants| {
            let all = [(wants.invoke, "INVOKE"), (wants.shutdown, "SHUTDOWN")];
            let wanted = all.into_iter().filter(|(wanted, _)| *wanted);
            wanted.map(|(_, name)| name).collect()
        };
        let ready = self.all.iter();
        let ready = ready.filter(|one| !matches!(one.phase, Phase::Exited));
        ready
            .map(|one| (one.name.clone(), events(one.wants)))
            .collect()
    }

    pub fn all_registered(&self) -> bool {
        let waits = |one: &Extension| matches!(one.phase, Phase::Started);
        !self.all.iter().any(waits)
    }

    /// Whether all ask for an event, or are gone.
    pub fn settled(&self) -> bool {
        let rests = |one: &Extension| matches!(one.phase, Phase::Ready(_) | Phase::Exited);
        self.all.iter().all(rests)
    }

    /// Tells those of it who have registered for invocations.
    pub fn invoke(&mut self, event: &Event) {
        for extension in self.all.iter_mut().filter(|one| one.wants.invoke) {
            extension.tell(event.clone());
        }
    }

    /// Tells those of it who have registered for the end.
    pub fn shut_down(&mut self, event: &Event) {
        let wanted = |one: &&mut Extension| one.wants.shutdown;
        for extension in self.all.iter_mut().filter(wanted) {
            extension.tell(event.clone());
        }
    }

    /// Its process has ended.
    pub fn exited(&mut self, name: &str) {
        let external = self
            .all
            .iter_mut()
            .find(|one| one.external && one.name == name);
        if let Some(extension) = external {
            extension.phase = Phase::Exited;
        }
    }

    /// Whether nobody is left who has been told of the end.
    pub fn all_gone(&self) -> bool {
        let stays = |one: &Extension| one.wants.shutdown && !matches!(one.phase, Phase::Exited);
        !self.all.iter().any(stays)
    }
}

impl Extension {
    fn tell(&mut self, event: Event) {
        match std::mem::replace(&mut self.phase, Phase::Running) {
            Phase::Ready(sender) => self.pending = sender.send(event).err(),
            Phase::Exited => self.phase = Phase::Exited,
            // It will be asking for it.
            _ => self.pending = Some(event),
        }
    }
}

fn wanted(events: &[String], external: bool) -> Result<Wants, Refused> {
    let mut wants = Wants::default();
    for event in events {
        let why = match event.as_str() {
            "INVOKE" => {
                wants.invoke = true;
                continue;
            }
            "SHUTDOWN" if external => {
                wants.shutdown = true;
                continue;
            }
            "SHUTDOWN" => "ShutdownEventNotSupportedForInternalExtension",
            _ => "ErrorInvalidEventType",
        };
        let message = format!("{event}: {why}");
        return Err(Refused::new("Extension.InvalidEventType", message));
    }
    Ok(wants)
}

fn not_allowed(extension: &Extension, wanted: &str) -> Refused {
    let (from, id) = (extension.phase.name(), extension.id);
    let message = format!(
        "State transition from {from} to {wanted} failed for extension {id}. \
         Error: State transition is not allowed"
    );
    Refused::new("Extension.InvalidExtensionState", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    const END: Event = Event::Shutdown {
        reason: Reason::Spindown,
        deadline_ms: 1,
    };

    fn invocation() -> Event {
        Event::Invoke {
            request_id: "a".into(),
            deadline_ms: 1,
            invoked_function_arn: String::new(),
            trace_id: String::new(),
        }
    }

    #[test]
    fn an_external_one_is_found_registers_and_is_told() {
        let mut extensions = Extensions::default();
        assert!(extensions.found(["agent".to_owned()].into_iter()));
        assert!(!extensions.all_registered() && !extensions.settled());
        let both = events(&["INVOKE", "SHUTDOWN"]);
        let id = extensions.register("agent", &both).unwrap();
        assert!(extensions.all_registered() && !extensions.settled());
        let again = extensions.register("agent", &both).unwrap_err();
        assert_eq!(again.kind, "Extension.InvalidExtensionState");
        let mut next = extensions.next(id).unwrap();
        assert!(extensions.settled());
        extensions.invoke(&invocation());
        assert_eq!(next.try_recv(), Ok(invocation()));
        assert!(!extensions.settled());
        drop(extensions.next(id).unwrap());
        // That connection broke; the event stays for the next one.
        extensions.shut_down(&END);
        assert_eq!(extensions.next(id).unwrap().try_recv(), Ok(END));
        assert!(!extensions.all_gone());
        extensions.exited("agent");
        assert!(extensions.all_gone() && extensions.settled());
        assert!(extensions.next(id).is_err());
    }

    #[test]
    fn internal_ones_register_while_the_runtime_starts() {
        let mut extensions = Extensions::default();
        let id = extensions.register("inside", &events(&["INVOKE"])).unwrap();
        let kind = |refused: Result<Uuid, Refused>| refused.unwrap_err().kind;
        let none = events(&[]);
        assert_eq!(
            kind(extensions.register("inside", &none)),
            "Extension.InvalidExtensionState"
        );
        assert_eq!(
            kind(extensions.register("", &none)),
            "Extension.InvalidExtensionName"
        );
        for wrong in ["SHUTDOWN", "OTHER"] {
            assert_eq!(
                kind(extensions.register("other", &events(&[wrong]))),
                "Extension.InvalidEventType"
            );
        }
        let unknown = extensions.next(Uuid::nil()).unwrap_err();
        assert_eq!(unknown.kind, "Extension.UnknownExtensionIdentifier");
        for number in 1..EXTENSIONS_MAX {
            extensions.register(&number.to_string(), &none).unwrap();
        }
        assert_eq!(
            kind(extensions.register("more", &none)),
            "Extension.TooManyExtensions"
        );
        extensions.close();
        assert_eq!(
            kind(extensions.register("late", &none)),
            "Extension.RegistrationClosed"
        );
        assert!(extensions.next(id).is_ok());
    }
}
