//! The photographs in the program itself: the default data set, which needs no files.

use crate::image_file::ImageFile;
use crate::split::Split;

/// Name and bytes of each photograph of a folder under `data/photos`.
macro_rules! photographs {
    ($folder:literal: $($name:literal)*) => {
        &[$((
            concat!("photos/", $folder, "/", $name, ".webp"),
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/../../data/photos/", $folder, "/", $name, ".webp"
            )),
        )),*]
    };
}

type Photographs = &'static [(&'static str, &'static [u8])];

const TRAIN: Photographs = photographs!("train":
    "Picture_0B_by_freespace"
    "Wine_by_Jakkub_Mede"
    "aitzgorri_by_Aitzol_Berasategi"
    "bucket"
    "buffetset"
    "crocodile"
    "dam3"
    "fish1"
    "fish14"
    "fish2"
    "fish23"
    "fish25"
    "fish26"
    "fish27"
    "fish28"
    "fish3"
    "fish4"
    "fish5"
    "fish8"
    "greatWall"
    "leMusee"
    "leaningTowerOfPisa"
    "life_by_Aitzol_Berasategi"
    "pan"
    "picosdeeuropa_by_Aitzol_Berasategi"
    "seeding_by_Clements_Engelhardt"
    "solar1"
    "solar2"
    "solar3"
    "solar7"
    "volleyball"
    "windmill"
    "windmill12"
    "windmill7"
);

const VALID: Photographs = photographs!("valid":
    "fish24"
    "friends_by_Aitzol_Berasategi"
    "igloo"
    "mountRushmore"
    "panda"
    "solar4"
);

const TEST: Photographs = photographs!("test":
    "Picture_1A_by_freespace"
    "dam2"
    "fish15"
    "moose"
    "sunset_by_Aitzol_Berasategi"
    "windmill14"
    "zimniPalace"
);

/// The photographs of `split`, sorted by name within each folder.
pub(crate) fn files(split: Split) -> Vec<ImageFile> {
    let folders: &[Photographs] = match split {
        Split::Train => &[TRAIN],
        Split::Valid => &[VALID],
        Split::Test => &[TEST],
        Split::All => &[TRAIN, VALID, TEST],
    };
    folders
        .iter()
        .flat_map(|folder| folder.iter())
        .map(|&(name, bytes)| ImageFile::embedded(name.to_owned(), bytes))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_program_holds_what_the_folder_holds() {
        for (split, folder) in [
            (Split::Train, "train"),
            (Split::Valid, "valid"),
            (Split::Test, "test"),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../data/photos")
                .join(folder);
            let mut expected: Vec<String> = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| {
                    format!(
                        "photos/{folder}/{}",
                        entry.unwrap().file_name().to_string_lossy()
                    )
                })
                .collect();
            expected.sort_unstable();
            let names: Vec<String> = files(split).into_iter().map(|file| file.name).collect();
            assert_eq!(names, expected);
        }
    }
}
