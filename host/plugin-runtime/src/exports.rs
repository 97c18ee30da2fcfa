//! Where the functions of a component are that its world promises.
//!
//! They are found once, when a component is loaded; their types are compared at every instantiation, because
//! wasmtime knows how to only then. A component whose functions have other types loads and ends its first
//! call, the one that asks who it is, in a fault that says so.

use wasmtime::component::{Component as Compiled, ComponentExportIndex};

use crate::compaction::Decide;
use crate::format::CodecExports;
use crate::world::{Contract, ContractVersion};
use crate::{Description, Error, Result, World};

/// The functions of a component.
pub(crate) struct Exports {
    /// Tells who the plugin is; the same in all worlds and versions.
    pub(crate) describe: ComponentExportIndex,
    /// What the component's world adds.
    pub(crate) serves: Serves,
}

/// The functions of each world.
pub(crate) enum Serves {
    Compaction(Decide),
    Format(CodecExports),
}

impl Exports {
    /// Finds the functions of the world that the component was found to be of.
    pub(crate) fn find(compiled: &Compiled, description: &Description) -> Result<Self> {
        let contract = Contract::described(description)?;
        let world = contract.world;
        let plugin = Interface::find(compiled, world, contract.plugin_interface())?;
        let own = Interface::find(compiled, world, contract.own_interface())?;
        let serves = match (world, contract.version) {
            (World::CompactionStrategy, ContractVersion::V0_1_0) => {
                Serves::Compaction(Decide::V0_1_0(own.function("decide")?))
            }
            (World::CompactionStrategy, ContractVersion::V0_2_0) => {
                Serves::Compaction(Decide::V0_2_0(own.function("decide")?))
            }
            (World::Format, _) => Serves::Format(CodecExports::find(&own)?),
        };
        Ok(Self { describe: plugin.function("describe")?, serves })
    }
}

/// One exported interface of a component.
pub(crate) struct Interface<'a> {
    compiled: &'a Compiled,
    world: World,
    name: String,
    index: ComponentExportIndex,
}

impl<'a> Interface<'a> {
    fn find(compiled: &'a Compiled, world: World, name: String) -> Result<Self> {
        match compiled.get_export_index(None, name.as_str()) {
            Some(index) => Ok(Self { compiled, world, name, index }),
            None => Err(Error::Unfit { world: world.as_str(), detail: format!("no interface `{name}`") }),
        }
    }

    /// Finds a function of the interface.
    pub(crate) fn function(&self, function: &str) -> Result<ComponentExportIndex> {
        self.compiled.get_export_index(Some(&self.index), function).ok_or_else(|| Error::Unfit {
            world: self.world.as_str(),
            detail: format!("interface `{}` has no function `{function}`", self.name),
        })
    }
}
