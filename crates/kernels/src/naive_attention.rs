//! Slow, obvious twins of [`crate::attention`], for tests only: plain loops, sums in f64.

use crate::attention::Attention;

/// The result, and the weights of all pairs after division, `[batch, heads, queries, keys]`.
fn weighted(attention: &Attention, [q, k, v]: [&[f32]; 3]) -> (Vec<f64>, Vec<f64>) {
    let &Attention {
        batch,
        keys,
        heads,
        key_size,
        value_size,
        ..
    } = attention;
    let queries = attention.queries();
    let mut out = vec![0.0; batch * queries * heads * value_size];
    let mut weights = vec![0.0; batch * heads * queries * keys];
    for pair in 0..batch * heads {
        let (image, head) = (pair / heads, pair % heads);
        for (i, &seen) in attention.seen.iter().enumerate() {
            let query = &q[((image * queries + i) * heads + head) * key_size..][..key_size];
            let product = |j: usize| -> f64 {
                let key = &k[((image * keys + j) * heads + head) * key_size..][..key_size];
                let both = query.iter().zip(key);
                both.map(|(&q, &k)| f64::from(q) * f64::from(k)).sum()
            };
            let products: Vec<f64> = (0..seen).map(product).collect();
            let largest = products.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let scale = f64::from(attention.scale);
            let raised = products.iter().map(|p| ((p - largest) * scale).exp());
            let raised: Vec<f64> = raised.collect();
            let total = raised.iter().sum::<f64>() + f64::from(attention.epsilon);
            for (j, weight) in raised.iter().enumerate() {
                let weight = weight / total;
                weights[(pair * queries + i) * keys + j] = weight;
                for c in 0..value_size {
                    let value = v[((image * keys + j) * heads + head) * value_size + c];
                    out[((image * queries + i) * heads + head) * value_size + c] +=
                        weight * f64::from(value);
                }
            }
        }
    }
    (out, weights)
}

/// Twin of [`crate::attention::forward_new`].
pub fn forward(attention: &Attention, inputs: [&[f32]; 3]) -> Vec<f64> {
    weighted(attention, inputs).0
}

/// Twin of [`crate::attention::backward_new`].
pub fn backward(attention: &Attention, [q, k, v]: [&[f32]; 3], dout: &[f32]) -> [Vec<f64>; 3] {
    let &Attention {
        batch,
        keys,
        heads,
        key_size,
        value_size,
        ..
    } = attention;
    let queries = attention.queries();
    let (out, weights) = weighted(attention, [q, k, v]);
    let [mut dq, mut dk, mut dv] = [q, k, v].map(|numbers| vec![0.0; numbers.len()]);
    for pair in 0..batch * heads {
        let (image, head) = (pair / heads, pair % heads);
        for (i, &seen) in attention.seen.iter().enumerate() {
            let query = ((image * queries + i) * heads + head) * key_size;
            let result = ((image * queries + i) * heads + head) * value_size;
            for j in 0..seen {
                let key = ((image * keys + j) * heads + head) * key_size;
                let value = ((image * keys + j) * heads + head) * value_size;
                let weight = weights[(pair * queries + i) * keys + j];
                let mut slope = 0.0;
                for c in 0..value_size {
                    let gradient = f64::from(dout[result + c]);
                    slope += gradient * (f64::from(v[value + c]) - out[result + c]);
                    dv[value + c] += weight * gradient;
                }
                slope *= weight * f64::from(attention.scale);
                for c in 0..key_size {
                    dq[query + c] += slope * f64::from(k[key + c]);
                    dk[key + c] += slope * f64::from(q[query + c]);
                }
            }
        }
    }
    [dq, dk, dv]
}
