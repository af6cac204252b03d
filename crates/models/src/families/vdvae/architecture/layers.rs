//! The convolutions of the network and the names and shapes of its parameters.

use super::{Architecture, DecBlock, EncBlock};
use crate::families::vdvae::config::Upsample;

/// A convolution with bias, stride 1, "same" padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Side of the image.
    pub resolution: usize,
}

impl Conv {
    /// `[out, in, height, width]`.
    pub fn weight_shape(&self) -> Vec<usize> {
        vec![self.c_out, self.c_in, self.kernel, self.kernel]
    }

    /// Operations for one image: two for every multiply-add. Exact up to 2^53.
    pub fn operations(&self) -> f64 {
        let weights = self.c_in * self.c_out * self.kernel * self.kernel;
        2.0 * weights as f64 * (self.resolution * self.resolution) as f64
    }
}

/// A bottleneck block: `h = c4(gelu(c3(gelu(c2(gelu(c1(gelu(x))))))))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bottleneck {
    /// Input channels.
    pub c_in: usize,
    /// Channels between its convolutions.
    pub mid: usize,
    /// Output channels.
    pub c_out: usize,
    /// Side of the kernels of `c2` and `c3`; `c1` and `c4` are 1x1.
    pub kernel: usize,
    /// Side of the image.
    pub resolution: usize,
}

impl Bottleneck {
    /// `c1`, `c2`, `c3`, `c4`.
    pub fn convs(&self) -> [Conv; 4] {
        let conv = |c_in, c_out, kernel| Conv {
            c_in,
            c_out,
            kernel,
            resolution: self.resolution,
        };
        [
            conv(self.c_in, self.mid, 1),
            conv(self.mid, self.mid, self.kernel),
            conv(self.mid, self.mid, self.kernel),
            conv(self.mid, self.c_out, 1),
        ]
    }

    /// Operations for one image.
    pub fn operations(&self) -> f64 {
        self.convs().iter().map(Conv::operations).sum()
    }
}

impl Architecture {
    /// `encoder.in_conv`: image channels -> width.
    pub fn in_conv(&self) -> Conv {
        Conv {
            c_in: self.image_channels,
            c_out: self.width,
            kernel: 3,
            resolution: self.image_size,
        }
    }

    /// `encoder.enc_blocks.N`: C -> C, residual.
    pub fn enc_block(&self, block: &EncBlock) -> Bottleneck {
        let width = self.width_at(block.resolution);
        self.bottleneck(block.resolution, width, width)
    }

    /// `decoder.dec_blocks.N.enc`, the posterior: 2C -> 2Z.
    pub fn posterior(&self, block: &DecBlock) -> Bottleneck {
        let width = self.width_at(block.resolution);
        self.bottleneck(block.resolution, 2 * width, 2 * self.zdim)
    }

    /// `decoder.dec_blocks.N.prior`: C -> 2Z + C.
    pub fn prior(&self, block: &DecBlock) -> Bottleneck {
        let width = self.width_at(block.resolution);
        self.bottleneck(block.resolution, width, 2 * self.zdim + width)
    }

    /// `decoder.dec_blocks.N.z_proj`: Z -> C.
    pub fn z_proj(&self, block: &DecBlock) -> Conv {
        Conv {
            c_in: self.zdim,
            c_out: self.width_at(block.resolution),
            kernel: 1,
            resolution: block.resolution,
        }
    }

    /// `decoder.dec_blocks.N.resnet`: C -> C, residual unless `topdown_residual` is off.
    pub fn resnet(&self, block: &DecBlock) -> Bottleneck {
        let width = self.width_at(block.resolution);
        self.bottleneck(block.resolution, width, width)
    }

    /// `decoder.dec_blocks.N.upsample`, at the resolution that is mixed in: its width -> C. Only of
    /// blocks that mix in, and only where upsampling is learned.
    pub fn upsample(&self, block: &DecBlock) -> Option<Conv> {
        let resolution = block.mixin?;
        (self.upsample == Upsample::Conv).then(|| Conv {
            c_in: self.width_at(resolution),
            c_out: self.width_at(block.resolution),
            kernel: 1,
            resolution,
        })
    }

    /// `decoder.out_net.out_conv`: width -> parameters of the likelihood.
    pub fn out_conv(&self) -> Conv {
        Conv {
            c_in: self.width,
            c_out: self.out_channels(),
            kernel: 1,
            resolution: self.image_size,
        }
    }

    /// Every parameter with its shape, in the reference's names and order: the order of its state
    /// dictionary, and of the indices in its optimizer state. Convolutions `[out, in, h, w]`.
    pub fn parameter_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let mut shapes = Shapes::default();
        shapes.conv("encoder.in_conv", &self.in_conv());
        for (i, block) in self.enc_blocks.iter().enumerate() {
            shapes.bottleneck(&format!("encoder.enc_blocks.{i}"), &self.enc_block(block));
        }
        shapes.add("decoder.gain", vec![1, self.width, 1, 1]);
        shapes.add("decoder.bias", vec![1, self.width, 1, 1]);
        for (i, block) in self.dec_blocks.iter().enumerate() {
            let name = format!("decoder.dec_blocks.{i}");
            shapes.bottleneck(&format!("{name}.enc"), &self.posterior(block));
            shapes.bottleneck(&format!("{name}.prior"), &self.prior(block));
            shapes.conv(&format!("{name}.z_proj"), &self.z_proj(block));
            shapes.bottleneck(&format!("{name}.resnet"), &self.resnet(block));
            if let Some(conv) = self.upsample(block) {
                shapes.conv(&format!("{name}.upsample"), &conv);
            }
        }
        for (i, r) in self.bias_resolutions().into_iter().enumerate() {
            shapes.add(
                &format!("decoder.bias_xs.{i}"),
                vec![1, self.width_at(r), r, r],
            );
        }
        shapes.conv("decoder.out_net.out_conv", &self.out_conv());
        shapes.0
    }

    fn bottleneck(&self, resolution: usize, c_in: usize, c_out: usize) -> Bottleneck {
        Bottleneck {
            c_in,
            mid: self.mid_at(resolution),
            c_out,
            kernel: self.kernel_at(resolution),
            resolution,
        }
    }
}

#[derive(Default)]
struct Shapes(Vec<(String, Vec<usize>)>);

impl Shapes {
    fn add(&mut self, name: &str, shape: Vec<usize>) {
        self.0.push((name.to_owned(), shape));
    }

    fn conv(&mut self, name: &str, conv: &Conv) {
        self.add(&format!("{name}.weight"), conv.weight_shape());
        self.add(&format!("{name}.bias"), vec![conv.c_out]);
    }

    fn bottleneck(&mut self, name: &str, block: &Bottleneck) {
        for (conv, i) in block.convs().iter().zip(1..) {
            self.conv(&format!("{name}.c{i}"), conv);
        }
    }
}
