//! A destination that counts and forgets: for measuring what comes before it, and for reading a stream to its end.

use async_trait::async_trait;
use bytes::Bytes;
use pipeline::{Content, Context, Destination, Error, Manifest, PartHeader, Proof, Receipt, Result, Sink};

/// Counts and discards; holds nothing, publishes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullDestination;

#[async_trait]
impl Destination for NullDestination {
    fn endpoint(&self) -> String {
        "null:".to_owned()
    }

    fn memory(&self) -> usize {
        0
    }

    async fn probe(&mut self, _: &Context) -> Result<Option<u64>> {
        Ok(None)
    }

    async fn open(&self, _: &PartHeader, _: &Context) -> Result<Box<dyn Sink>> {
        Ok(Box::new(NullSink { bytes: 0 }))
    }

    async fn publish(&mut self, _: &Manifest, _: &Context) -> Result<()> {
        Ok(())
    }

    async fn abandon(&mut self) -> Result<()> {
        Ok(())
    }
}

struct NullSink {
    bytes: u64,
}

#[async_trait]
impl Sink for NullSink {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.bytes += data.len() as u64;
        Ok(())
    }

    async fn commit(self: Box<Self>, content: &Content) -> Result<Receipt> {
        counted(self.bytes, content)?;
        Ok(Receipt { bytes: self.bytes, proof: Proof::Unverified })
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Refuses a commit of another length than what was written.
pub(crate) fn counted(written: u64, content: &Content) -> Result<()> {
    if written == content.bytes {
        return Ok(());
    }
    Err(Error::mismatch("the destination got another number of bytes than were sent")
        .with("sent", content.bytes)
        .with("arrived", written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::testing::content;

    #[tokio::test]
    async fn counts_and_refuses_another_count() {
        let cx = Context::silent();
        let destination = NullDestination;
        for (promised, good) in [(&b"abc"[..], true), (b"ab", false), (b"", false)] {
            let mut sink = destination.open(&PartHeader::default(), &cx).await.expect("open");
            sink.write(Bytes::from_static(b"a")).await.expect("write");
            sink.write(Bytes::from_static(b"bc")).await.expect("write");
            assert_eq!(sink.commit(&content(promised)).await.is_ok(), good);
        }
    }
}
