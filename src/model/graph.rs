//! A model as a graph of layers, made once from a preset. Naming, sizing, showing, planning, packing
//! and exporting are loops over its nodes.

use std::collections::HashMap;

use super::layers::{Embedded, Layer, Parameter, Pullback, Shape};
use super::onnx::Export;
use super::planning::{Builder, Columns, Gradient, Value};
use super::preset::Trainable;
use crate::plan::TensorId;

/// A node's place in its graph.
pub(super) type NodeId = usize;

/// Layers in an order of computation: each reads outputs of some before it.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub layer: Box<dyn Layer>,
    /// Whose outputs it reads.
    reads: Vec<NodeId>,
    /// The heading that people find it under.
    pub heading: String,
}

impl Graph {
    /// Appends a layer and returns its place.
    pub(super) fn add(
        &mut self,
        heading: &str,
        layer: impl Layer + 'static,
        reads: &[NodeId],
    ) -> NodeId {
        let node =
            Node { layer: Box::new(layer), reads: reads.to_vec(), heading: heading.to_owned() };
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// What a node's output is for one clip.
    pub(super) fn shape(&self, node: NodeId) -> Shape {
        self.nodes[node].layer.output()
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn layers(&self) -> impl Iterator<Item = &dyn Layer> {
        self.nodes.iter().map(|node| &*node.layer)
    }

    /// Numbers of a clip that the last layer makes.
    pub fn output_size(&self) -> usize {
        self.nodes.last().map_or(0, |node| node.layer.output().elements())
    }

    /// The last node that `train.trainable` leaves as it is, if any.
    pub(super) fn cut(&self, trainable: Trainable) -> Option<NodeId> {
        match trainable {
            Trainable::All => None,
            Trainable::Back => Some(self.summary()),
            Trainable::Head => Some(self.embedding()),
        }
    }

    /// Numbers of a clip that the first layer reads.
    pub fn input_size(&self) -> usize {
        self.nodes.first().map_or(0, |node| node.layer.output().elements())
    }

    /// Every trained tensor, in the order in which they lie in memory.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.layers().flat_map(Layer::parameters).collect()
    }

    /// Every running statistic, likewise.
    pub fn buffers(&self) -> Vec<Parameter> {
        self.layers().flat_map(Layer::buffers).collect()
    }

    /// The last layer with weights: one output a label.
    pub fn last_dense(&self) -> &str {
        let dense = self.layers().filter(|layer| !layer.parameters().is_empty()).last();
        dense.map_or("", Layer::name)
    }

    /// The node whose output the last dense layer reads, but for dropout: the embedding.
    pub(super) fn embedding(&self) -> NodeId {
        let mut node = self.nodes.len() - 1;
        // From the output through the dense layer and what has no weights before it.
        let has_weights = |node: NodeId| !self.nodes[node].layer.parameters().is_empty();
        while !has_weights(node) {
            node = self.nodes[node].reads[0];
        }
        node = self.nodes[node].reads[0];
        while self.nodes[node].layer.drops() {
            node = self.nodes[node].reads[0];
        }
        node
    }

    /// The node that joins what was summarised over time.
    pub(super) fn summary(&self) -> NodeId {
        let joins = |node: &Node| node.layer.joins();
        self.nodes.iter().position(joins).unwrap_or_else(|| unreachable!("every head joins"))
    }

    /// The layers after a node, reading its output as their input.
    ///
    /// # Panics
    /// When a later layer reads an earlier one.
    pub(super) fn after(self, cut: NodeId) -> Self {
        let features = self.shape(cut).vector();
        let mut after = Self::default();
        after.add("", Embedded { features }, &[]);
        for node in self.nodes.into_iter().skip(cut + 1) {
            let reads = node.reads.iter().map(|read| read - cut).collect();
            after.nodes.push(Node { reads, ..node });
        }
        after
    }

    /// The layers up to a node.
    pub(super) fn before(mut self, cut: NodeId) -> Self {
        self.nodes.truncate(cut + 1);
        self
    }

    /// Elements of the largest tensor that any layer needs for one clip.
    pub fn largest(&self) -> usize {
        self.layers().map(Layer::largest).max().unwrap_or(0)
    }

    /// For each node, whether it or anything below it is trained.
    fn trained(&self) -> Vec<bool> {
        let mut trained = Vec::with_capacity(self.nodes.len());
        for Node { layer, reads, .. } in &self.nodes {
            let below = reads.iter().any(|&read| trained[read]);
            trained.push(below || !layer.parameters().is_empty());
        }
        trained
    }

    /// The node that joins a node's vector with others, and its columns there: width and the first.
    fn joined(&self, node: NodeId) -> Option<(NodeId, [usize; 2])> {
        let features = |node: &NodeId| self.shape(*node).vector();
        self.nodes.iter().enumerate().filter(|(_, reader)| reader.layer.joins()).find_map(
            |(at, reader)| {
                let place = reader.reads.iter().position(|&read| read == node)?;
                let first = reader.reads[..place].iter().map(features).sum();
                Some((at, [reader.reads.iter().map(features).sum(), first]))
            },
        )
    }

    /// Appends the forward steps of all layers and, where a plan trains, the backward steps. Returns what
    /// every node makes.
    pub(super) fn plan<'a>(&'a self, b: &mut Builder<'a>) -> Vec<Value> {
        let trained = self.trained();
        let mut values: Vec<Value> = Vec::new();
        let mut pullbacks: Vec<Pullback<'a>> = Vec::new();
        // The tensors of the nodes that join others.
        let mut joining = vec![None; self.nodes.len()];
        for (at, Node { layer, reads, .. }) in self.nodes.iter().enumerate() {
            let columns = self.joined(at).map(|(reader, [width, first])| {
                let tensor = *joining[reader].get_or_insert_with(|| {
                    let name = self.nodes[reader].layer.name();
                    b.plan.scratch(name, b.batch as usize * width)
                });
                let count = self.shape(at).vector() as u32;
                Columns { tensor, width: width as u32, first: first as u32, count }
            });
            b.turn_to(columns, reads.iter().any(|&read| trained[read]));
            let inputs: Vec<Value> = reads.iter().map(|&read| values[read].clone()).collect();
            let (value, pullback) = layer.plan(b, &inputs);
            values.push(value);
            pullbacks.push(pullback);
        }
        if let (true, Some(judged)) = (b.trains(), b.judged) {
            self.plan_backward(b, pullbacks, &trained, judged.d_logits.into());
        }
        values
    }

    /// Takes the gradient at the end down to every layer that is trained.
    fn plan_backward<'a>(
        &'a self,
        b: &mut Builder<'a>,
        pullbacks: Vec<Pullback<'a>>,
        trained: &[bool],
        end: Gradient,
    ) {
        let mut gradients: Vec<Vec<Gradient>> = vec![Vec::new(); self.nodes.len()];
        gradients.last_mut().into_iter().for_each(|last| last.push(end.clone()));
        // How many nodes have a tensor as their gradient: those of a concatenation share one.
        let mut holders: HashMap<TensorId, usize> = HashMap::new();
        for (at, pullback) in pullbacks.into_iter().enumerate().rev() {
            let gradient = b.sum(std::mem::take(&mut gradients[at]), &holders);
            let Some(gradient) = gradient.filter(|_| trained[at]) else { continue };
            for (&read, below) in self.nodes[at].reads.iter().zip(pullback(b, &gradient)) {
                below.parts().for_each(|part| *holders.entry(part).or_default() += 1);
                gradients[read].push(below);
            }
        }
    }

    /// Appends all layers' operators to an ONNX graph.
    pub(super) fn export(&self, onnx: &mut Export<'_>) {
        let mut names: Vec<String> = Vec::new();
        for Node { layer, reads, .. } in &self.nodes {
            let inputs: Vec<String> = reads.iter().map(|&read| names[read].clone()).collect();
            names.push(layer.export(onnx, &inputs));
        }
    }
}
