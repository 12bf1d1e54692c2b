//! The graph that a preset's `[model]` asks for: the one place that makes layers of it, and that says
//! which models cannot be.

use super::graph::{Graph, NodeId};
use super::layers::{
    Concatenation, ConvBlock, Dense, Dropout, Filters, Frames, Handcrafted, Join, LogMel, Lstm,
    MeanMax, OutputLayer, Parameter, Relu, Residual, Returns, Sequence, Shape, VectorNorm,
};
use super::preset::{
    Branch, Front, Loss, Middle, Model, Output, Preset, Summary, require, size, validate_rolloff,
};
use crate::error::{Error, Result};
use crate::kernels::layers::lstm::MAX_UNITS;
use crate::kernels::layers::{conv, front};

/// The longest side of a convolution's kernel.
const MAX_KERNEL: usize = 255;
/// 1 GiB of f32, four times with gradients and Adam's moments.
const MAX_PARAMETERS: usize = 1 << 28;
/// First parts of tensor names that are taken.
const RESERVED: [&str; 8] =
    ["dense", "handcrafted", "rnn", "optimizer", "front", "middle", "back", HEAD];

/// The heading of what follows the inputs' branches.
pub(super) const HEAD: &str = "head";

impl Graph {
    /// The layers of a preset's model:
    ///
    /// 1. each branch, in the preset's order: its blocks, then its LSTMs or its summary;
    /// 2. in place of the branches, where a preset has them, `rnn`'s LSTMs, or the front's filters and
    ///    the middle's convolutions;
    /// 3. the embedding of the hand-crafted features;
    /// 4. the head: concatenation, the back's dense layers, dropout, a dense layer, the output.
    ///
    /// # Errors
    /// The first key of `[model]` that cannot work, with its value and the reason.
    pub fn of(preset: &Preset) -> Result<Self> {
        let model = &preset.model;
        let mut graph = Self::default();
        let (mels, frames) = (preset.features.mels, preset.frames());
        let log_mel = graph.add("", LogMel { mels, frames }, &[]);
        let mut summaries = Vec::new();
        let begins = [!model.branch.is_empty(), model.rnn.is_some(), !model.front.is_empty()];
        match begins.into_iter().filter(|&begins| begins).count() {
            0 => {
                return Err(Error::input("model.branch: none; a model needs a [[model.branch]]"));
            }
            1 => {}
            _ => {
                return Err(Error::input(
                    "model: begins with [[model.branch]], [model.rnn] or [[model.front]], and there \
                     is more than one of them",
                ));
            }
        }
        match &model.rnn {
            None => {}
            Some(rnn) => {
                let frames = Frames::new("rnn.sequence".to_owned(), graph.shape(log_mel));
                let frames = graph.add("rnn", frames, &[log_mel]);
                summaries.push(graph.lstms("model.rnn.lstm", "rnn", &rnn.lstm, frames)?);
            }
        }
        if model.front.is_empty() {
            require(
                model.middle.is_none(),
                "model.middle",
                "given",
                "follows a front, and there is no [[model.front]]",
            )?;
        } else {
            summaries.extend(graph.front(model, log_mel)?);
        }
        for (place, branch) in model.branch.iter().enumerate() {
            let key = |name: &str| format!("model.branch.{place}.{name}");
            require(
                model.branch[..place].iter().all(|earlier| earlier.name != branch.name),
                &key("name"),
                &branch.name,
                "another branch has this name",
            )?;
            summaries.push(graph.branch(branch, key, log_mel)?);
        }
        if let Some(handcrafted) = &model.handcrafted {
            let key = "model.handcrafted.hidden";
            require(!handcrafted.hidden.is_empty(), key, "[]", "needs at least one layer")?;
            let mut top = graph.add("handcrafted", Handcrafted, &[]);
            for (k, &units) in handcrafted.hidden.iter().enumerate() {
                size(key, units)?;
                let name = format!("handcrafted.fc{k}");
                let dense = Dense::new(&name, format!("{name}.sums"), graph.shape(top), units);
                top = graph.add("handcrafted", dense, &[top]);
                top = graph.add("handcrafted", Relu::new(&name, graph.shape(top)), &[top]);
            }
            summaries.push(top);
            validate_rolloff(handcrafted.rolloff)?;
        }
        graph.head(preset, &summaries)?;
        let parameters: usize = graph.parameters().iter().map(Parameter::elements).sum();
        require(
            parameters <= MAX_PARAMETERS,
            "model",
            format_args!("{parameters} parameters"),
            format_args!("at most {MAX_PARAMETERS}"),
        )?;
        require(
            preset.train.loss == model.output.loss(),
            "train.loss",
            match preset.train.loss {
                Loss::SoftmaxBce => "softmax_bce",
                Loss::SigmoidBce => "sigmoid_bce",
            },
            match model.output {
                Output::Softmax => r#"model.output = "softmax" goes with "softmax_bce""#,
                Output::Sigmoid => r#"model.output = "sigmoid" goes with "sigmoid_bce""#,
            },
        )?;
        Ok(graph)
    }

    fn head(&mut self, preset: &Preset, summaries: &[NodeId]) -> Result<()> {
        let model = &preset.model;
        let shapes: Vec<Shape> = summaries.iter().map(|&node| self.shape(node)).collect();
        let mut top = self.add(HEAD, Concatenation::new("summary", shapes), summaries);
        let mut dropouts = 0;
        if let Some(back) = &model.back {
            top = self.add(HEAD, VectorNorm::new("back.bn".to_owned(), self.shape(top)), &[top]);
            for (k, &units) in back.hidden.iter().enumerate() {
                size("model.back.hidden", units)?;
                let name = format!("back.fc{k}");
                top = self.dropout(&format!("{name}.dropped"), model.dropout, &mut dropouts, top);
                let dense = Dense::new(&name, format!("{name}.sums"), self.shape(top), units);
                top = self.add(HEAD, dense, &[top]);
                top = self.add(HEAD, Relu::new(&name, self.shape(top)), &[top]);
                let norm = VectorNorm::new(format!("{name}.bn"), self.shape(top));
                top = self.add(HEAD, norm, &[top]);
            }
        }
        top = self.dropout("dropped", model.dropout, &mut dropouts, top);
        let dense = Dense::new("dense", "logits".to_owned(), self.shape(top), preset.moods.len());
        top = self.add(HEAD, dense, &[top]);
        self.add(HEAD, OutputLayer::new(model.output, self.shape(top)), &[top]);
        Ok(())
    }

    /// Appends dropout, where there is any; `before` counts its layers.
    fn dropout(&mut self, name: &str, rate: f64, before: &mut u32, top: NodeId) -> NodeId {
        if rate == 0.0 {
            return top;
        }
        let dropout = Dropout::new(name, self.shape(top), rate, *before);
        *before += 1;
        self.add(HEAD, dropout, &[top])
    }

    /// Appends the front and the middle, and returns what was summarised over time.
    fn front(&mut self, model: &Model, log_mel: NodeId) -> Result<Vec<NodeId>> {
        let [_, bands, _] = self.shape(log_mel).planes();
        let mut maps = Vec::new();
        for (place, Front { kernel, channels }) in model.front.iter().enumerate() {
            let key = format!("model.front.{place}");
            let [rows, columns] = *kernel;
            let shown = || format!("[{rows}, {columns}]");
            let sides = 1..=MAX_KERNEL;
            require(
                sides.contains(&rows) && sides.contains(&columns),
                &format!("{key}.kernel"),
                shown(),
                format_args!("both sides must be between 1 and {MAX_KERNEL}"),
            )?;
            require(
                rows <= bands && bands - rows < front::MOST_FREQUENCIES as usize,
                &format!("{key}.kernel"),
                shown(),
                format_args!(
                    "must have at most features.mels = {bands} bands, and at least {}: the maximum \
                     is over at most {} places",
                    (bands + 1).saturating_sub(front::MOST_FREQUENCIES as usize).max(1),
                    front::MOST_FREQUENCIES
                ),
            )?;
            require(
                front::weights_fit(kernel.map(|n| n as u32)),
                &format!("{key}.kernel"),
                shown(),
                "the weights of four filters must fit 64 KiB; use a smaller kernel",
            )?;
            size(&format!("{key}.channels"), *channels)?;
            let name = format!("front.{place}");
            let filters = Filters::new(name, self.shape(log_mel), *channels, *kernel);
            maps.push(self.add("front", filters, &[log_mel]));
        }
        let mut top = maps[0];
        if maps.len() > 1 {
            let shapes: Vec<Shape> = maps.iter().map(|&map| self.shape(map)).collect();
            top = self.add("front", Join::new("front.joined".to_owned(), shapes), &maps);
        }
        let mut summaries = vec![self.summarise("front", "front", top)];
        let Some(Middle { kernel, channels }) = &model.middle else { return Ok(summaries) };
        require(
            kernel % 2 == 1 && *kernel <= MAX_KERNEL,
            "model.middle.kernel",
            kernel,
            format_args!("must be odd, to have a middle, and at most {MAX_KERNEL}"),
        )?;
        require(
            channels.windows(2).all(|pair| pair[0] == pair[1]),
            "model.middle.channels",
            format_args!("{channels:?}"),
            "must be equal: each block is added to what it reads",
        )?;
        for (index, &channels) in channels.iter().enumerate() {
            let key = "model.middle.channels";
            size(key, channels)?;
            require(
                conv::weights_fit(channels as u32, [1, *kernel as u32]),
                key,
                channels,
                "the weights of four filters must fit 64 KiB; use a smaller kernel or fewer channels",
            )?;
            let name = format!("middle.{index}");
            let shape = self.shape(top);
            let block = ConvBlock::new(name.clone(), shape, channels, [1, *kernel], [1, 1]);
            let block = self.add("middle", block, &[top]);
            top = match index {
                0 => block,
                _ => {
                    let sum = Residual::new(format!("{name}.sum"), shape);
                    self.add("middle", sum, &[block, top])
                }
            };
            summaries.push(self.summarise("middle", &name, top));
        }
        Ok(summaries)
    }

    /// Appends means and maxima over time of a map.
    fn summarise(&mut self, heading: &str, name: &str, map: NodeId) -> NodeId {
        let sequence = Sequence::new(format!("{name}.sequence"), self.shape(map));
        let sequence = self.add(heading, sequence, &[map]);
        let summary = MeanMax::new(name.to_owned(), self.shape(sequence));
        self.add(heading, summary, &[sequence])
    }

    /// Appends a branch and returns its end.
    fn branch(
        &mut self,
        branch: &Branch,
        key: impl Fn(&str) -> String,
        log_mel: NodeId,
    ) -> Result<NodeId> {
        let Branch { name, kernel, channels, pool, lstm, summary } = branch;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        require(
            name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits),
            &key("name"),
            format_args!("{name:?}"),
            "tensor names begin with it: lower-case letters, digits and _, a letter first",
        )?;
        require(
            !RESERVED.contains(&name.as_str()),
            &key("name"),
            name,
            "other tensors have this name",
        )?;
        let [rows, columns] = *kernel;
        let odd = |side: usize| side % 2 == 1 && side <= MAX_KERNEL;
        require(
            odd(rows) && odd(columns),
            &key("kernel"),
            format_args!("[{rows}, {columns}]"),
            format_args!("both sides must be odd, to have a middle, and at most {MAX_KERNEL}"),
        )?;
        require(!channels.is_empty(), &key("channels"), "[]", "needs at least one layer")?;
        for &channels in channels {
            size(&key("channels"), channels)?;
            require(
                conv::weights_fit(channels as u32, kernel.map(|n| n as u32)),
                &key("channels"),
                channels,
                format_args!(
                    "the weights of four filters of [{rows}, {columns}] must fit 64 KiB; use a \
                     smaller kernel or fewer channels"
                ),
            )?;
        }
        require(
            pool[0] > 0 && pool[1] > 0,
            &key("pool"),
            format_args!("[{}, {}]", pool[0], pool[1]),
            "both sides must be at least 1 (which leaves the size as it is)",
        )?;
        let mut top = log_mel;
        for (index, &channels) in channels.iter().enumerate() {
            let last = index + 1 == branch.channels.len();
            let window = if last { [1, 1] } else { *pool };
            let [_, bands, steps] = self.shape(top).planes();
            for (what, size, side) in [("band", bands, window[0]), ("step", steps, window[1])] {
                require(
                    size >= side,
                    &key("pool"),
                    format_args!("[{}, {}]", pool[0], pool[1]),
                    format_args!(
                        "in {name}, the pool after block {index} (counted from 0) leaves no \
                         {what}: {size} / {side} is less than 1"
                    ),
                )?;
            }
            let block_name = format!("{name}.blocks.{index}");
            let block =
                ConvBlock::new(block_name, self.shape(top), channels, branch.kernel, window);
            top = self.add(name, block, &[top]);
        }
        let sequence = Sequence::new(format!("{name}.sequence"), self.shape(top));
        top = self.add(name, sequence, &[top]);
        match (summary, lstm.is_empty()) {
            (None, true) => Err(Error::input(format!(
                r#"{}: [] goes with summary = "mean_max": without either, nothing ends the branch"#,
                key("lstm")
            ))),
            (Some(Summary::MeanMax), false) => Err(Error::input(format!(
                "{}: goes with lstm = [], and there are LSTMs",
                key("summary")
            ))),
            (Some(Summary::MeanMax), true) => {
                let summary = MeanMax::new(name.clone(), self.shape(top));
                Ok(self.add(name, summary, &[top]))
            }
            (None, false) => self.lstms(&key("lstm"), name, lstm, top),
        }
    }

    /// Appends LSTMs one on another, of which the last returns its last states.
    fn lstms(
        &mut self,
        key: &str,
        owner: &str,
        layers: &[usize],
        mut top: NodeId,
    ) -> Result<NodeId> {
        require(!layers.is_empty(), key, "[]", "needs at least one layer")?;
        for (index, &units) in layers.iter().enumerate() {
            size(key, units)?;
            require(
                units <= MAX_UNITS as usize,
                key,
                units,
                format_args!("this version's LSTMs have at most {MAX_UNITS} units"),
            )?;
            let last = index + 1 == layers.len();
            let returns = if last { Returns::LastStates } else { Returns::Sequence };
            let name = format!("{owner}.lstm{index}");
            let lstm = Lstm::new(name, self.shape(top), units, returns);
            top = self.add(owner, lstm, &[top]);
        }
        Ok(top)
    }
}
