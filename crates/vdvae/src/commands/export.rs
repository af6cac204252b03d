//! `vdvae export`.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::{check_output, make_parent, print_json};
use crate::checkpoint::published::{export_published, export_safetensors};
use crate::cli::{ExportArgs, ExportFormat};
use crate::console::results;
use crate::error::usage;
use crate::run_dir::RunDir;

#[derive(Serialize)]
struct Report {
    checkpoint: PathBuf,
    files: Vec<PathBuf>,
}

pub fn run(arguments: &ExportArgs) -> Result<()> {
    let run = RunDir::new(&arguments.run);
    let config = run.load_config()?;
    let checkpoint = arguments.checkpoint.clone();
    let checkpoint = checkpoint.unwrap_or_else(|| match arguments.format {
        ExportFormat::Published => run.latest(),
        ExportFormat::Safetensors => run.default_checkpoint(),
    });
    let out = out(arguments)?;
    match arguments.format {
        ExportFormat::Safetensors => check_output(&out)?,
        // The beginning of names, perhaps that of the run's folder.
        ExportFormat::Published => {
            let mut name = out.clone().into_os_string();
            name.push("-model");
            check_output(Path::new(&name))?;
        }
    }
    make_parent(&out)?;
    let files = match arguments.format {
        ExportFormat::Published => export_published(&run, &config, &checkpoint, &out)?,
        ExportFormat::Safetensors => {
            export_safetensors(&config, &checkpoint, &out)?;
            vec![out]
        }
    };
    if arguments.json {
        return print_json(&Report { checkpoint, files });
    }
    for file in files {
        writeln!(results(), "{}", file.display())?;
    }
    Ok(())
}

/// --out; or the run's folder as the beginning of names beside it.
fn out(arguments: &ExportArgs) -> Result<PathBuf> {
    if let Some(out) = &arguments.out {
        if out.file_name().is_none() || out.is_dir() {
            return Err(usage(format!(
                "--out {}: expected a name for files, found a folder; such as {}",
                out.display(),
                out.join("NAME").display()
            )));
        }
        return Ok(out.clone());
    }
    if arguments.run.file_name().is_none() {
        return Err(usage(format!(
            "{}: expected a folder with a name; give one for the files with --out",
            arguments.run.display()
        )));
    }
    // Without a slash at its end.
    let mut out = OsString::from(arguments.run.components().as_path());
    if arguments.format == ExportFormat::Safetensors {
        out.push(".safetensors");
    }
    Ok(out.into())
}
