//! Images: whether they are there, and getting those that are not.

use std::path::Path;

use bollard::query_parameters::{CreateImageOptions, ImportImageOptions};
use faas_core::{Error, ErrorKind};

use super::Engine;
use crate::error;

/// When an image is pulled from a registry. One that an artifact holds never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pull {
    /// An image that is an action and whose tag is `latest`, or that has none, each time its action is deployed; where
    /// that fails, the one that is there will do. Others, and the images of runtimes, where they are not there.
    ///
    /// # Source
    /// OpenWhisk, but for these: it pulls such an image for each container, and fails without it. Here, where images are
    /// often built on the same machine and have no tag, an action starts as fast as others and without a registry. It
    /// tries to pull images with another tag as well, which by custom stay what they are; and never those of runtimes,
    /// which its operators load ahead.
    #[default]
    Auto,
    /// Where it is not there.
    Missing,
    /// Each time an action is deployed, which fails where that is not possible.
    Always,
    /// Never.
    Never,
}

impl Pull {
    const ALL: [(&str, Self); 4] =
        [("auto", Self::Auto), ("missing", Self::Missing), ("always", Self::Always), ("never", Self::Never)];

    /// Whether the image of an action that is deployed is pulled although it may be there.
    pub(crate) fn insists(self, image: &str) -> bool {
        match self {
            Self::Auto => Reference::of(image).is_latest(),
            Self::Always => true,
            Self::Missing | Self::Never => false,
        }
    }
}

impl std::str::FromStr for Pull {
    type Err = Error;

    /// Reads `auto`, `missing`, `always` or `never`.
    ///
    /// # Errors
    /// `NotFound` for any other name, listing these.
    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, pull)| *pull);
        found.ok_or_else(|| Error::unknown("policy to pull images", name, Self::ALL.map(|(known, _)| known)))
    }
}

/// The parts of an image's name.
struct Reference<'a> {
    repository: &'a str,
    tag: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// Splits a name. A digest counts as a tag; a colon before a slash is a port.
    fn of(image: &'a str) -> Self {
        if let Some((repository, digest)) = image.split_once('@') {
            return Self { repository, tag: Some(digest) };
        }
        match image.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => Self { repository, tag: Some(tag) },
            _ => Self { repository: image, tag: None },
        }
    }

    fn is_latest(&self) -> bool {
        self.tag.is_none_or(|tag| tag == "latest")
    }
}

/// The longest name of an image. Arbitrary: twice what registries take.
const LONGEST: usize = 512;

/// Checks that a text can be the name of an image, and nothing but one: it becomes part of the path of calls.
///
/// # Source
/// The grammar of `github.com/distribution/reference`, of which this is a superset.
pub(crate) fn check_name(image: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let parts = image.split(['/', ':', '@']);
    let well_formed = !image.is_empty()
        && image.len() <= LONGEST
        && image.chars().all(allowed)
        && image.starts_with(|c: char| c.is_ascii_alphanumeric())
        && parts.into_iter().all(|part| !part.is_empty() && part != "." && part != "..");
    if well_formed {
        return Ok(());
    }
    let text = format!(
        "'{}' is no name of an image: [host[:port]/]path[:tag][@digest] of letters, digits and . _ - / : @",
        image.escape_debug()
    );
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

impl Engine {
    /// Whether an image is there.
    pub(crate) async fn has_image(&self, image: &str) -> Result<bool, Error> {
        check_name(image)?;
        let inspected = self.docker().await?.inspect_image(image);
        match self.call("look at an image", inspected).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Loads the images in a file that `docker save` or `cargo faas build` made.
    pub(crate) async fn load_image(&self, path: &Path) -> Result<(), Error> {
        let read = tokio::fs::read(path).await;
        let bytes = read.map_err(|source| {
            let kind = match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Unavailable,
            };
            error::file(kind, "cannot read the image", path, source)
        })?;
        let docker = self.docker().await?;
        let options = ImportImageOptions { quiet: true, ..ImportImageOptions::default() };
        let mut progress = docker.import_image(options, bollard::body_full(bytes.into()), None);
        let of_file = |error: Error| error.with_context("file", path.display());
        while self.step("load an image", &mut progress).await.map_err(of_file)?.is_some() {}
        Ok(())
    }

    /// Sees to it that an image is there, by the policy, and pulls it `anew` where it is. Progress is told through
    /// `tracing`.
    ///
    /// # Errors
    /// `NotFound` when it cannot be had: the message is that of OpenWhisk, and the source says why. `Unavailable` when
    /// the engine stops to answer.
    pub(crate) async fn ensure_image(&self, image: &str, policy: Pull, anew: bool) -> Result<(), Error> {
        let is_there = self.has_image(image).await?;
        if is_there && !anew {
            return Ok(());
        }
        let failed = || Error::new(ErrorKind::NotFound, format!("Failed to pull container image '{image}'."));
        if policy == Pull::Never {
            let reason = "the image is not there, and this backend pulls none";
            return Err(failed().with_source(reason));
        }
        match self.pull(image).await {
            Err(error) if is_there && policy == Pull::Auto => {
                tracing::warn!(image, %error, "the image could not be pulled anew, and the one that is there is used");
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => Err(error.with_context("image", image)),
            Err(error) => Err(failed().with_source(error)),
            Ok(()) if self.has_image(image).await? => Ok(()),
            Ok(()) => {
                Err(failed().with_source("the engine says that it has pulled the image, and has none of it"))
            }
        }
    }

    async fn pull(&self, image: &str) -> Result<(), Error> {
        let reference = Reference::of(image);
        let options = CreateImageOptions {
            from_image: Some(reference.repository.to_owned()),
            tag: Some(reference.tag.unwrap_or("latest").to_owned()),
            ..CreateImageOptions::default()
        };
        tracing::info!(image, "pulling the image");
        let mut progress = self.docker().await?.create_image(Some(options), None, None);
        while let Some(step) = self.step("pull an image", &mut progress).await? {
            let detail = step.progress_detail.unwrap_or_default();
            let layer = step.id.unwrap_or_default();
            let status = step.status.unwrap_or_default();
            tracing::debug!(image, layer, status, bytes = detail.current, of = detail.total, "pulling");
        }
        tracing::info!(image, "pulled the image");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_where_their_tag_begins() {
        for (image, repository, tag) in [
            ("busybox", "busybox", None),
            ("a/b:1", "a/b", Some("1")),
            ("localhost:5000/a", "localhost:5000/a", None),
            ("localhost:5000/a:x", "localhost:5000/a", Some("x")),
            ("a@sha256:00", "a", Some("sha256:00")),
        ] {
            let reference = Reference::of(image);
            assert_eq!((reference.repository, reference.tag), (repository, tag), "{image}");
        }
        assert!(Pull::Auto.insists("a") && Pull::Auto.insists("a:latest") && !Pull::Auto.insists("a:1"));
        assert!(!Pull::Missing.insists("a") && Pull::Always.insists("a:1"));
    }

    #[test]
    fn a_name_with_tricks_in_it_is_refused() {
        for image in
            ["busybox", "a/b:1", "localhost:5000/a/b:x_1", "a@sha256:0123abcd", "registry.example.com/a"]
        {
            check_name(image).unwrap();
        }
        let long = "a".repeat(LONGEST + 1);
        for image in [
            "",
            "a b",
            "../a",
            "a/../b",
            "a/./b",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a?x=1",
            "a#x",
            "a%2fb",
            "-a",
            "a\n",
            "ä",
            ":x",
            "a\0",
            "$(id)",
            "a;b",
            long.as_str(),
        ] {
            let error = check_name(image).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{image:?}");
            assert!(!error.message().contains('\n'), "{image:?}");
        }
    }
}
