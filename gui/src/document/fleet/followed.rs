//! Which collectors are followed, and which device is which while they come and go.

use super::{Collector, Device, Fleet, Node};
use crate::document::DeviceId;

impl Fleet {
    /// Follows the collector at `url` as well, and returns its id.
    pub(crate) fn follow(&mut self, url: &str) -> usize {
        self.newest_id += 1;
        self.collectors.push(Collector::new(self.newest_id, url));
        self.newest_id
    }

    /// Forgets the collector with `id` and all that was heard of it.
    pub(crate) fn forget(&mut self, id: usize) {
        let Some(place) = self.place_of(id) else { return };
        self.collectors.remove(place);
        self.nodes.retain(|node| node.collector != place);
        self.alerts.retain(|(of, _)| *of != place);
        // Those behind it move up.
        let places = self.nodes.iter_mut().map(|node| &mut node.collector);
        for of in places.chain(self.alerts.iter_mut().map(|(of, _)| of)) {
            *of -= usize::from(*of > place);
        }
        self.unsettled = true;
    }

    /// The place of the collector with `id`.
    pub(super) fn place_of(&self, id: usize) -> Option<usize> {
        self.collectors.iter().position(|collector| collector.id == id)
    }

    /// The address of the collector with `id`.
    #[must_use]
    pub fn url_of(&self, id: usize) -> Option<&str> {
        self.place_of(id).map(|place| self.collectors[place].url.as_str())
    }

    /// Which device `device` of `node` is.
    #[must_use]
    pub fn id_of(&self, node: &Node, device: &Device) -> DeviceId {
        DeviceId {
            collector: self.collectors[node.collector].id,
            uuid: device.sample.identity.uuid.clone(),
        }
    }

    /// The device with `id`, if it is known, and its node.
    #[must_use]
    pub fn find(&self, id: &DeviceId) -> Option<(&Node, &Device)> {
        let place = self.place_of(id.collector)?;
        let nodes = self.nodes.iter().filter(|node| node.collector == place);
        nodes
            .flat_map(|node| node.devices.iter().map(move |device| (node, device)))
            .find(|(_, device)| device.sample.identity.uuid == id.uuid)
    }
}
