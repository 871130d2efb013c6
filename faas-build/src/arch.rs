//! The architectures that a program for AWS Lambda may be for.

use std::fmt;
use std::str::FromStr;

use faas_core::Error;

/// An architecture of AWS Lambda.
///
/// # Source
/// "Selecting and configuring an instruction set architecture for your Lambda function", AWS Lambda Developer Guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Arch {
    /// `x86_64`: 64-bit processors of Intel and AMD.
    X86_64,
    /// `arm64`: AWS Graviton.
    Arm64,
}

impl Arch {
    const ALL: [Self; 2] = [Self::X86_64, Self::Arm64];

    /// The architecture of a compiler's target.
    pub(crate) fn of(target: &str) -> Option<Self> {
        let architecture = target.split('-').next();
        Self::ALL.into_iter().find(|arch| Some(arch.in_targets()) == architecture)
    }

    /// The name that Lambda has for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// The name that compilers' targets have for it.
    pub(crate) const fn in_targets(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

impl FromStr for Arch {
    type Err = Error;

    /// Reads `x86_64` or `arm64`.
    ///
    /// # Errors
    /// `NotFound` for any other name, listing these.
    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|arch| arch.name() == name);
        found.ok_or_else(|| Error::unknown("architecture", name, Self::ALL.map(Self::name)))
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Arch;

    #[test]
    fn architectures_are_read_as_they_are_shown() {
        for arch in Arch::ALL {
            assert_eq!(arch.to_string().parse::<Arch>().expect("an architecture"), arch);
        }
        let error = "aarch64".parse::<Arch>().expect_err("no such architecture");
        assert_eq!(error.message(), "no architecture is named 'aarch64'; known: arm64, x86_64");
    }

    #[test]
    fn targets_of_compilers_have_one_or_none() {
        for (target, expected) in [
            ("x86_64-unknown-linux-gnu", Some(Arch::X86_64)),
            ("aarch64-apple-darwin", Some(Arch::Arm64)),
            ("riscv64gc-unknown-linux-gnu", None),
        ] {
            assert_eq!(Arch::of(target), expected);
        }
    }
}
